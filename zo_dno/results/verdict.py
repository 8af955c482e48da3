"""Why no candidate of a run is feasible: how many miss each threshold, or have implausible noise."""

from collections.abc import Iterable, Mapping, Sequence

from zo_dno.oracle.combination.threshold import Threshold
from zo_dno.storage.ledger import QueryRow


def unmet(thresholds: Iterable[Threshold], rows: Sequence[QueryRow]) -> dict[str, int]:
    """Count, for each threshold, the scored rows that miss it."""
    scored = [row.components for row in rows if row.value is not None and row.components is not None]
    return {
        str(one): sum(one.reward_violation(values[one.term]) > 0 for values in scored if one.term in values)
        for one in thresholds
    }


def why_none_may_win(rows: Sequence[QueryRow], missed: Mapping[str, int], *, constrained: bool) -> str:
    """Count the reasons why scored rows are not feasible, as a sentence.

    Args:
        rows: Rows of the search.
        missed: Threshold -> number of rows that miss it, from `unmet`.
        constrained: Whether the run requires plausible noise.
    """
    scored = [row for row in rows if row.value is not None]
    short = sum(row.reward_violation > 0 for row in scored)
    counts = {f"miss {text}": count for text, count in missed.items()} or {"miss what the reward requires": short}
    if constrained:
        counts["are not plausibly Gaussian"] = sum(not row.plausible for row in scored)
    reasons = [f"{count} {what}" for what, count in counts.items() if count]
    return f"No candidate may win: of {len(scored)} with a score, {', '.join(reasons)}."
