"""Results of the benchmark of strategies: scores on one scale, tables, claims and the picture."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from zo_dno.comparison import statistics

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = (64, 256, 1024, 4096)
BASELINE, AUTO = "random_search", "auto"
SCREENED = f"{AUTO}, screened"


def scores(lines: list[dict[str, Any]], budgets: Collection[int] = BUDGETS) -> "pd.DataFrame":
    """Return a row for each line and each of some budgets, with its score."""
    import pandas as pd

    names = ("entry", "reward", "prompt", "seed", "log_prob", "feasible", "prompt_match", "strategy_seconds", "peak_mb")
    rows = [
        {**{name: line.get(name) for name in names}, "budget": int(budget), "best": best}
        for line in lines
        for budget, best in line["best"].items()
        # longer runs are planned otherwise, and a noisy judge is asked again about the best at the end alone
        if int(budget) in budgets
        and (int(budget) == line["queries"] or (line["queries"] <= 256 and line["reward"] != "noisy_judge"))
    ]
    frame = pd.DataFrame(rows).drop_duplicates(["entry", "reward", "prompt", "seed", "budget"], keep="last")
    return statistics.normalised(frame.reset_index(drop=True), BASELINE)


def table(frame: "pd.DataFrame", reward: str, budget: int) -> list[list[Any]]:
    """Return a row an entry: mean score, the paired differences to best-of-N and from `auto`, and what was paid."""
    some = frame[(frame["reward"] == reward) & (frame["budget"] == budget)]
    rows: list[list[Any]] = []
    for entry, own in some.groupby("entry"):
        over = _difference(some, str(entry), BASELINE, budget)
        auto = _difference(some, AUTO, str(entry), budget) if (some["entry"] == AUTO).any() and entry != AUTO else ""
        rows.append(
            [
                entry,
                float(own["score"].mean()),
                over,
                auto,
                float(own["best"].mean()),
                len(own),
                f"{own['feasible'].astype(float).mean():.0%}",
                float(own["log_prob"].median()),
                float(own["prompt_match"].astype(float).mean()),
                float(own["strategy_seconds"].mean()),
                float(own["peak_mb"].median()),
            ]
        )
    return sorted(rows, key=lambda row: -row[1])


def _difference(some: "pd.DataFrame", entry: str, other: str, budget: int, digits: int = 3) -> str:
    cells = statistics.paired(some, entry, other, budget)
    if entry == other or not cells:
        return ""
    found = statistics.interval(cells, lambda values: float(values.mean()))
    return f"{found.value:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def claims(frame: "pd.DataFrame") -> list[list[Any]]:
    """Return what can be said of `auto` in every cell: how far it is ahead of the best other entry, and of best-of-N.

    The first p-value is corrected for all entries of the cell (Holm), as the best of them was chosen by its result; the
    lowest end is that of all the entries' intervals.
    """
    rows: list[list[Any]] = []
    for (reward, budget), some in frame.groupby(["reward", "budget"]):
        for reference in (AUTO, SCREENED):
            left_out = [name for name in (AUTO, SCREENED) if name != reference]
            own = some[~some["entry"].isin(left_out)]
            found = statistics.claims(own, reference, int(budget)) if (own["entry"] == reference).any() else []
            if not found:
                continue
            best = found[0]  # the entry that is least behind
            base = next((claim for claim in found if claim.entry == BASELINE), None)
            lowest = min(-claim.difference.high for claim in found)
            over_baseline = [_ahead(base), base.p] if base else ["", ""]
            rows.append(
                [reward, budget, reference, best.entry, _ahead(best), best.p, lowest, *over_baseline, best.pairs]
            )
    return rows


def _ahead(claim: statistics.Claim) -> str:
    """Return how far the reference of a claim is ahead."""
    found = claim.difference
    return f"{-found.value:+.3f} [{-found.high:+.3f}, {-found.low:+.3f}]"


def markdown(frame: "pd.DataFrame") -> str:
    """Return the table of docs/strategies.md: a row an entry, a column a reward and budget, the best first."""
    cells = sorted({(reward, int(budget)) for reward, budget in zip(frame["reward"], frame["budget"], strict=True)})
    means = frame.groupby(["entry", "reward", "budget"])["score"].mean().unstack([1, 2])
    lines = [f"| | {' | '.join(f'`{reward}`, {budget}' for reward, budget in cells)} | prompt match |"]
    lines.append("|---" * (len(cells) + 2) + "|")
    pairs = int(frame[frame["entry"] == BASELINE].groupby(["reward", "budget"])["seed"].count().max())
    for entry in means.mean(axis=1).sort_values(ascending=False).index:
        own = frame[frame["entry"] == entry]
        row = []
        for reward, budget in cells:
            some = frame[(frame["reward"] == reward) & (frame["budget"] == budget)]
            mine = some[some["entry"] == entry]
            if mine.empty:
                row.append("")
                continue
            lead = _difference(some, AUTO, entry, budget, digits=2) if entry != AUTO else ""
            few = "" if len(mine) == pairs else f" ({len(mine)} runs)"
            row.append(f"{mine['score'].mean():.2f} ({mine['best'].mean():.2f}){f'; {lead}' if lead else ''}{few}")
        match = own[own["budget"] == own["budget"].max()]["prompt_match"].astype(float).mean()
        lines.append(f"| {entry} | {' | '.join(row)} | {match:.2f} |")
    return "\n".join(lines)


def figure(frame: "pd.DataFrame", outside: Collection[str]) -> Any:
    """Draw the mean scores with intervals, a panel a reward and budget; entries from outside are grey."""
    from matplotlib.figure import Figure

    cells = sorted({(reward, int(budget)) for reward, budget in zip(frame["reward"], frame["budget"], strict=True)})
    entries = list(frame.groupby("entry")["score"].mean().sort_values().index)
    made = Figure(figsize=(2.3 * len(cells) + 1.5, 0.24 * len(entries) + 1), layout="constrained")
    panels = made.subplots(1, len(cells), sharey=True, squeeze=False)[0]
    for axes, (reward, budget) in zip(panels, cells, strict=True):
        some = frame[(frame["reward"] == reward) & (frame["budget"] == budget)]
        for place, entry in enumerate(entries):
            cells_of = statistics.strata_of(some, entry, budget)
            if cells_of:
                found = statistics.interval(cells_of, lambda values: float(values.mean()))
                colour = "#d1495b" if entry == AUTO else "#8d99ae" if entry in outside else "#30638e"
                axes.hlines(place, found.low, found.high, color=colour, lw=4, alpha=0.35)
                axes.plot(found.value, place, "o", color=colour, ms=4)
        axes.set_yticks(range(len(entries)), entries, fontsize=7)
        axes.set_title(f"{reward}, {budget} queries", fontsize=8, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    made.supxlabel("normalised reward, 95 % intervals; grey: other packages", fontsize=8)
    return made
