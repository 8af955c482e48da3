"""Analysis of a comparison's table: scores on one scale, a summary of each entry, and claims."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.comparison import statistics
from zo_dno.comparison.plan import BASELINE, PLAN
from zo_dno.comparison.several import REWARD
from zo_dno.comparison.table import completed
from zo_dno.errors import InputError, unknown_name
from zo_dno.results.verdict import lost_share

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Analysis:
    """Runs side by side.

    Attributes:
        table: A row for each run and budget; `zo_dno.comparison.table.COLUMNS` describes its columns.
        folder: Folder of the comparison; None for runs that were put together from elsewhere.
        failures: Reasons why runs failed, by the name of the run's folder.
        stopped_early: Whether runs that were behind were stopped, so that means at large budgets are of the better
            runs.
        unfinished: Number of runs that have not begun, failed, or not reached their end.
        baseline: Entry that all are compared with, if it is in the table.
    """

    table: "pd.DataFrame"
    folder: Path | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    stopped_early: bool = False
    unfinished: int = 0
    baseline: str = BASELINE

    @cached_property
    def scored(self) -> "pd.DataFrame":
        """The table with a column `score`: the reward on its cell's scale (`zo_dno.comparison.statistics`)."""
        return statistics.normalised(self.table, self.reference)

    @property
    def what_is_left(self) -> str:
        """A sentence with the number of unfinished runs and the command that resumes them."""
        runs = "1 run is" if self.unfinished == 1 else f"{self.unfinished} runs are"
        command = "" if self.folder is None else f" Resume: zo-dno compare {self.folder / PLAN} --out {self.folder}"
        return f"{runs} not finished.{command}"

    @property
    def entries(self) -> list[str]:
        """Names of the entries, the reference first."""
        names = list(dict.fromkeys(self.table["entry"]))
        return sorted(names, key=lambda name: (name != self.reference, name))

    @property
    def reference(self) -> str:
        """Entry that all are compared with: best-of-N if it is in the table.

        Raises:
            InputError: No run has a completed query yet.
        """
        self._check_completed()
        names = list(self.table["entry"])
        return self.baseline if self.baseline in names else names[0]

    @property
    def budgets(self) -> list[int]:
        """Budgets at which curves are read, in queries.

        Raises:
            InputError: No run has a completed query yet.
        """
        self._check_completed()
        return sorted(int(budget) for budget in self.table["budget"].unique())

    def budget(self, budget: int | None = None) -> int:
        """Return a budget at which curves are read, by default the largest.

        Raises:
            InputError: Curves are not read there, or no run has a completed query yet.
        """
        if budget is None:
            return self.budgets[-1]
        if budget not in self.budgets:
            raise InputError(f"budget must be one of {', '.join(map(str, self.budgets))}; got {budget}.")
        return budget

    def _check_completed(self) -> None:
        if self.table.empty:
            raise InputError("comparison must have a run with a completed query; it has none yet.")

    def summary(self, budget: int | None = None) -> "pd.DataFrame":
        """Return a row for each entry at a budget, the best first, with what its runs reached and cost.

        Args:
            budget: Budget in queries, by default the largest.
        Raises:
            InputError: Curves are not read at the budget, or no run has a completed query yet.
        """
        import pandas as pd

        budget = self.budget(budget)
        ranks = statistics.mean_ranks(self.scored, budget)
        rows = []
        for entry in self.entries:
            own = self.scored[(self.scored["entry"] == entry) & (self.scored["budget"] == budget)]
            if own.empty:
                continue
            cells = statistics.strata_of(self.scored, entry, budget)
            middle = statistics.interval(cells, statistics.interquartile_mean)
            better = statistics.probability_of_improvement(self.scored, entry, self.reference, budget)
            rows.append(
                {
                    "entry": entry,
                    "runs": len(own),
                    "iqm": middle.value,
                    "iqm_low": middle.low,
                    "iqm_high": middle.high,
                    "mean": float(own["score"].mean()),
                    "better_than_reference": better.value,
                    "better_low": better.low,
                    "better_high": better.high,
                    "rank": float(ranks.get(entry, float("nan"))),
                    "feasible": float(own["feasible"].astype(float).mean()),
                    "log_prob": float(own["log_prob"].astype(float).median()),
                    "seconds": float(own["seconds"].astype(float).mean()),
                    "strategy_seconds": float(own["strategy_seconds"].astype(float).mean()),
                    "nfe": float(own["nfe"].mean()),
                    "failed": float(own["failed"].mean()),
                    "cost": float(own["cost"].mean()),
                    **self._of_sets(own),
                    **self._held_out_means(own),
                }
            )
        return pd.DataFrame(rows).sort_values("iqm", ascending=False, kind="stable").reset_index(drop=True)

    @property
    def held_out(self) -> list[str]:
        """Names of the held-out rewards."""
        start = "held_out "
        return [name.removeprefix(start) for name in self.table.columns if name.startswith(start)]

    def _of_sets(self, rows: "pd.DataFrame") -> dict[str, float]:
        """Return means over an entry's runs: members, their distance by that of prior draws, share of filled cells."""
        apart = rows["mean_distance"] / rows["prior_distance"]
        means = {"members": rows["members"], "relative_distance": apart, "coverage": rows["coverage"]}
        return {name: float(values.mean()) for name, values in means.items()}

    def _held_out_means(self, rows: "pd.DataFrame") -> dict[str, float]:
        """Return the means of every held-out reward over an entry's runs: of candidate 0, of the winner, and lost."""
        found: dict[str, float] = {}
        for name in self.held_out:
            both = rows.reindex(columns=[f"held_out_first {name}", f"held_out {name}"]).astype(float).dropna()
            first, best = (float(both[column].mean()) for column in both.columns)
            lost = [lost_share(*pair) for pair in both.itertuples(index=False)]
            found |= {f"held_out_first {name}": first, f"held_out {name}": best}
            found[f"lost {name}"] = float(np.mean(lost)) if lost else math.nan
        return found

    def claims(self, reference: str | None = None, budget: int | None = None) -> list[statistics.Claim]:
        """Return for every other entry whether it is ahead of one entry, and whether that is significant.

        Args:
            reference: Entry to compare with, by default best-of-N.
            budget: Budget in queries, by default the largest.
        Raises:
            InputError: An argument is not in the table, or no run has a completed query yet.
        """
        budget = self.budget(budget)
        if reference is not None and reference not in self.entries:
            raise unknown_name("entry", reference, self.entries)
        return statistics.claims(self.scored, reference or self.reference, budget)

    def at_equal_seconds(self, budget: int | None = None) -> "pd.DataFrame":
        """Return for every entry how it compares with best-of-N of the same time, a row for each reward and prompt.

        The expectation of best-of-N after n draws is estimated from all prior draws of a cell, pooled over its seeds,
        so n may be several times a run's queries. It is missing where n exceeds the number of prior draws. Rewards of
        which fronts, sets or cells are searched have no row: these are worth more than their best draw.

        Raises:
            InputError: Curves are not read at the budget, or no run has a completed query yet.
        """
        import pandas as pd

        budget = self.budget(budget)
        rows = []
        single = self.table[self.table["statistic"] == REWARD]
        for (reward, prompt), cell in single.groupby(["reward", "prompt"], sort=True):
            prior = cell[(cell["entry"] == BASELINE) & (cell["budget"] == budget)]
            if prior.empty:
                continue
            draws = np.array(
                [
                    row.value
                    for folder in prior["folder"]
                    for row in completed(Path(folder))[:budget]
                    if row.is_feasible(constrained=True)
                ],
                float,
            )
            each = float(prior["seconds"].astype(float).sum() / prior["queries"].sum())
            for entry, own in cell[cell["budget"] == budget].groupby("entry", sort=True):
                seconds = float(own["seconds"].astype(float).mean())
                if not math.isfinite(seconds):
                    continue  # runs that ended within their first population took no time that is known
                n = max(1, round(seconds / each)) if each > 0 else budget
                expected = statistics.expected_best_of(draws, n)
                rows.append(
                    {
                        "reward": reward,
                        "prompt": prompt,
                        "entry": entry,
                        "seconds": seconds,
                        "best": float(own["best"].astype(float).mean()),
                        "draws": n,
                        "best_of_n": expected,
                        "ahead": float(own["best"].astype(float).mean()) - expected,
                    }
                )
        return pd.DataFrame(rows)
