"""The verdict on a run in words: why it was cut short, why nothing was found, and what `auto` chose."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zo_dno.errors import sentence
from zo_dno.oracle.combination.threshold import Threshold
from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from zo_dno.search.loop import Search

FEWEST_EQUAL = 8  # scores, of which all are equal, that say that the reward sees nothing
LOST = 0.1  # of a held-out reward's size that a winner may lose without a remark
IMPLAUSIBLE = "The winner is not plausible as a draw of a Gaussian: its reward may be bought with odd noise."
CONVINCING = math.log(20)  # random clicks get there in one search of 20 at most


def unmet(thresholds: Iterable[Threshold], rows: Sequence[QueryRow]) -> dict[str, int]:
    """Count, for each threshold, the scored rows that do not meet it."""
    known = [row.components for row in rows if row.value is not None and row.components is not None]
    return {
        str(one): sum(one.reward_violation(components[one.term]) > 0 for components in known if one.term in components)
        for one in thresholds
    }


def why_infeasible(rows: Sequence[QueryRow], missed: Mapping[str, int], *, constrained: bool) -> str:
    """Say which constraints the scored rows violate, and how often.

    Args:
        rows: Queries of the search.
        missed: Scored candidates that miss a threshold, by the threshold's text.
        constrained: Whether a winner's noise must be plausible.
    """
    scored = [row for row in rows if row.value is not None]
    short = sum(row.reward_violation > 0 for row in scored)
    counts = {f"miss {text}": count for text, count in missed.items()} or {"miss what the reward requires": short}
    if constrained:
        counts["are not plausibly Gaussian"] = sum(not row.plausible for row in scored)
    reasons = [f"{count} {what}" for what, count in counts.items() if count]
    return f"No candidate is feasible: of {len(scored)} with a score, {', '.join(reasons)}."


def why_paused(search: "Search", folder: Path | None) -> str:
    """Say why a run was paused, and how to resume it."""
    after = f"Paused after {search.counts.queries} completed queries: {sentence(str(search.pause))}"
    if folder is None:
        return f"{after} No more queries were sent. Give `out` to be able to resume."
    return f"{after} No more queries were sent. Fix it, then: zo-dno resume {folder}"


def why_spent(spent: float, max_cost: float, worst_case: float, lost: str) -> str:
    """Say why no further query is sent.

    Args:
        spent: Money that was spent.
        max_cost: Money that the run may spend.
        worst_case: Most that one query can cost with all its attempts.
        lost: Words about the calls that were in flight when a session was killed; empty if there were none.
    """
    ended = f" ({lost})" if lost else ""
    return (
        f"{spent:.4g} of max_cost {max_cost:g} are spent{ended}, and one query can cost {worst_case:g} with all its "
        "attempts. Raise max_cost, or lower attempts"
    )


def why_nothing_scored(search: "Search", folder: Path | None, spent: str) -> str:
    """Say why a run has no score at all.

    Args:
        search: The search, over.
        folder: Folder of the run.
        spent: Reason why no further query is sent, if money is limited.
    """
    if search.pause is not None:
        return why_paused(search, folder)
    if search.stopped_by == "cost":
        return f"No query was sent: {spent}."
    if not search.counts.queries:
        return "The run ended before its first query was completed."
    reason, count = search.counts.failures.most_common(1)[0]
    return f"None of {search.counts.queries} queries got a score. Most often ({count} times): {reason}"


def why_no_scales(search: "Search", n: int, folder: Path | None, max_cost: float | None) -> str:
    """Say why a warm-up of n queries, which scales are measured on, was cut short."""
    if search.pause is not None:
        return why_paused(search, folder)
    spent = search.stopped_by == "cost"
    why = f"max_cost of {max_cost:g} does not suffice for" if spent else "The run was stopped in"
    remedy = "Give `out` to be able to resume." if folder is None else f"Resume: zo-dno resume {folder}"
    return f"{why} the warm-up, {search.counts.queries} of {n} queries that scales are measured on. {remedy}"


def what_equal_scores_say(rows: Sequence[QueryRow]) -> str | None:
    """Say that all scores are equal, so that nothing could be searched; None where they differ or are too few."""
    values = [row.value for row in rows if row.value is not None]
    if len(values) < FEWEST_EQUAL or min(values) != max(values):
        return None
    return (
        f"All {len(values)} scores are {values[0]:g}, so that no image was better than another. Does the reward see "
        "the images, and can it give another score for one? Try it on two images that differ; a reward that counts "
        "what is rarely found needs a graded score, such as a confidence."
    )


def what_held_out_says(held_out: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    """Say which held-out rewards the winner lost more than a tenth of, a sentence each.

    A search that fools its reward, or breaks the model, mostly pays for it there.

    Args:
        held_out: Rewards of candidate 0 and of the winner, by the names of the held-out rewards; None if missing.
    """
    return [
        f"{name} (held out) fell from {first:.4g} to {best:.4g}, by {share:.0%}: look whether the winner is better, or "
        "only fools the reward."
        for name, (first, best) in held_out.items()
        if first is not None and best is not None and (share := lost_share(first, best)) > LOST
    ]


def lost_share(first: float, best: float) -> float:
    """Return the share of a held-out reward's size that the winner lost against candidate 0; negative for a gain."""
    return (first - best) / max(abs(first), 1e-12)


def what_choices_say(choices: int, evidence: float | None) -> str | None:
    """Say whether a search learned from choices; None where there were none, or nothing was predicted.

    Random clicks pass for more in one search of 20 at most (zo_dno.surrogate.preference.log_odds_against_chance).
    """
    if not choices or evidence is None:
        return None
    if evidence >= CONVINCING:
        return f"{choices} choices, which the search predicted better than chance: it has learned what is liked"
    return (
        f"{choices} choices, which the search did not predict clearly better than chance: by that alone, they may be "
        "random clicks"
    )


def chosen_by_auto(reason: str, screen: int | None, max_cost: float | None, untaught: str | None = None) -> str:
    """Say what `auto` chose, whether more images are rendered than scored, and whether earlier prompts taught nothing.

    Args:
        reason: Reason that the strategy gives for its choice.
        screen: Number of images rendered per query.
        max_cost: Money that the run may spend.
        untaught: Reason why what earlier prompts taught is not used, where that was asked for.
    """
    if untaught:
        reason = f"{reason}; what earlier prompts taught is not used: {untaught}"
    if not reason or not screen:
        return reason
    expensive = ", since max_cost makes queries expensive" if max_cost is not None else ""
    return f"{reason}; the most promising of {screen} images is scored{expensive}"
