"""Results of the benchmark of strategies: scores on one scale, tables, claims and the picture."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, cast

from zo_dno.comparison import statistics

if TYPE_CHECKING:
    import pandas as pd

BUDGETS = (64, 256, 1024, 4096)
SECONDS = (10, 20, 40, 80, 160, 320)
BASELINE, AUTO = "random_search", "auto"
SCREENED = f"{AUTO}, screened"


def scores(
    lines: Iterable[dict[str, Any]], budgets: Collection[int] = BUDGETS, scale: "pd.DataFrame | None" = None
) -> "pd.DataFrame":
    """Return a row for each line and each of some budgets, with its score; on the scale of another table, if given."""
    import pandas as pd

    names = ("entry", "reward", "prompt", "seed", "log_prob", "feasible", "prompt_match", "strategy_seconds", "peak_mb")
    found = [
        (line, int(budget), best)
        for line in lines
        for budget, best in line["best"].items()
        # longer runs are planned otherwise, and a noisy judge is asked again about the best at the end alone
        if int(budget) in budgets
        and (int(budget) == line["queries"] or (line["queries"] <= 256 and line["reward"] != "noisy_judge"))
    ]
    found.sort(key=lambda row: row[0]["queries"] == row[1])  # of a run's budgets, that which it was planned for is kept
    rows = [
        {**{name: line.get(name) for name in names}, "budget": budget, "best": best} for line, budget, best in found
    ]
    frame = pd.DataFrame(rows, columns=[*names, "budget", "best"])
    frame = frame.drop_duplicates(["entry", "reward", "prompt", "seed", "budget"], keep="last")
    return statistics.normalised(frame.reset_index(drop=True), BASELINE, scale)


def reached(
    lines: Iterable[dict[str, Any]], seconds: Collection[int] = SECONDS, scale: "pd.DataFrame | None" = None
) -> "pd.DataFrame":
    """Return a row for each run and limit of seconds: the reward at the largest budget that was noted by then.

    Runs of one entry, reward, prompt and seed on the same hardware that were planned for different budgets count as
    one: its largest budget is taken, of the run that was planned for it if there is one. A line that notes no seconds
    at its budgets has those of the whole run.

    Args:
        lines: Lines of the benchmark.
        seconds: Limits in seconds from the start of the search.
        scale: Table of scores on whose scale these are.
    Returns:
        Columns "entry", "reward", "prompt", "seed", "hardware", "seconds", "budget", "best", "ended" (whether the run
        had made all its queries) and "score". A run that noted nothing by a limit has no row for it.
    """
    import pandas as pd

    names = ("entry", "reward", "prompt", "seed", "hardware")
    rows = []
    for line in lines:
        noted = line.get("elapsed") or {str(line["queries"]): line["seconds"]}
        for limit in seconds:
            within = (int(budget) for budget, taken in noted.items() if taken <= limit and budget in line["best"])
            budget = max(within, default=0)
            if budget:
                own = {name: line[name] for name in names}
                ended = budget == line["queries"]
                rows.append(
                    {**own, "seconds": limit, "budget": budget, "best": line["best"][str(budget)], "ended": ended}
                )
    frame = pd.DataFrame(rows, columns=[*names, "seconds", "budget", "best", "ended"])
    frame = frame.sort_values(["budget", "ended"], kind="stable").drop_duplicates([*names, "seconds"], keep="last")
    return statistics.normalised(frame.reset_index(drop=True), BASELINE, scale)


def by_seconds(frame: "pd.DataFrame") -> list[list[str]]:
    """Return a row an entry of what was reached, a column a limit of `SECONDS`, the best with the most time first.

    A cell has the mean score, then in brackets how many of its runs had ended by then, and the number of its runs.
    """
    means = {}
    for entry, own in frame.groupby("entry"):
        limits = [own[own["seconds"] == limit] for limit in SECONDS]
        means[str(entry)] = [(some["score"].mean(), int(some["ended"].sum()), len(some)) for some in limits]
    order = sorted(means, key=lambda entry: [-score if runs else 0.0 for score, _, runs in reversed(means[entry])])
    return [
        [entry, *(f"{score:.3f} ({ended}/{runs})" if runs else "" for score, ended, runs in means[entry])]
        for entry in order
    ]


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
    found = statistics.interval(cells, statistics.mean)
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
            found = statistics.claims(own, reference, cast("int", budget)) if (own["entry"] == reference).any() else []
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


def compared(frame: "pd.DataFrame", one: tuple[str, int], other: tuple[str, int]) -> list[list[Any]]:
    """Compare two entries, each at a budget of its own, in every reward and prompt; the pairs have the same seed.

    Args:
        frame: Table of scores, with both budgets.
        one: Entry and its number of queries.
        other: Entry that it is compared with, and the number of queries of that.
    Returns:
        Rows of reward, prompt, mean difference with its 95 % interval, share of the pairs won (ties count half), and
        number of pairs. The row of all prompts resamples the prompts, too. No rows where there is no pair.
    """
    import pandas as pd

    def side(name: str, entry: str, budget: int) -> "pd.DataFrame":
        return frame[(frame["entry"] == entry) & (frame["budget"] == budget)].assign(entry=name, budget=0)

    both = pd.concat([side("one", *one), side("other", *other)], ignore_index=True)
    rows = []
    for reward, some in both.groupby("reward"):
        prompts = [(prompt, own) for prompt, own in some.groupby("prompt")]
        found = [(prompt, claim) for prompt, own in prompts for claim in statistics.claims(own, "other", 0)]
        rows += [_compared(reward, prompt, claim, claim.difference) for prompt, claim in found]
        if len(found) > 1:
            over_prompts = statistics.interval_over_cells(statistics.paired(some, "one", "other", 0))
            rows += [_compared(reward, "all", claim, over_prompts) for claim in statistics.claims(some, "other", 0)]
    return rows


def _compared(reward: Any, prompt: Any, claim: statistics.Claim, difference: statistics.Interval) -> list[Any]:
    return [reward, prompt, str(difference), f"{claim.wins:.0%}", claim.pairs]


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
                found = statistics.interval(cells_of, statistics.mean)
                colour = "#d1495b" if entry == AUTO else "#8d99ae" if entry in outside else "#30638e"
                axes.hlines(place, found.low, found.high, color=colour, lw=4, alpha=0.35)
                axes.plot(found.value, place, "o", color=colour, ms=4)
        axes.set_yticks(range(len(entries)), entries, fontsize=7)
        axes.set_title(f"{reward}, {budget} queries", fontsize=8, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    made.supxlabel("normalised reward, 95 % intervals; grey: other packages", fontsize=8)
    return made
