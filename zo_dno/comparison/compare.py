"""`compare`, and what comes of it."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.comparison import statistics
from zo_dno.comparison.plan import BASELINE, Named, Plan
from zo_dno.comparison.table import check_alike, rows_of_run, table_of
from zo_dno.comparison.trials import FAILED, STOPPED, Done, run_trials
from zo_dno.distributed.cluster import LOCAL
from zo_dno.errors import InputError, RunError
from zo_dno.ipython import in_notebook
from zo_dno.results.progress_cell import ProgressCell
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.atomic import read_yaml, write_text, write_whole
from zo_dno.storage.run_folder import CONFIG

if TYPE_CHECKING:
    import pandas as pd

PLAN, RUNS, TABLE = "comparison.yaml", "runs.json", "comparison.parquet"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes:
        table: a row for each run and budget; `zo_dno.comparison.table.COLUMNS` says what its columns hold.
        folder: of the comparison; None where runs were put together from elsewhere.
        failures: run's folder -> why it could not be run.
        stopped_early: some runs were stopped since they were behind, so means at large budgets are of the better ones.
        unfinished: runs that were not begun, or not carried to their end.
        baseline: the entry that all are compared with: best-of-N, where there is one.
    """

    table: "pd.DataFrame"
    folder: Path | None = None
    failures: Mapping[str, str] = field(default_factory=dict)
    stopped_early: bool = False
    unfinished: int = 0
    baseline: str = BASELINE

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """Read what `compare` left in a folder, finished or not.

        Raises:
            InputError: it is not a comparison's.
        """
        folder = Path(folder)
        if not (folder / PLAN).is_file():
            raise InputError(f"comparison must be a folder that `zo-dno compare` wrote; {folder} has no {PLAN}.")
        kept = json.loads((folder / RUNS).read_text())
        rows, failures, unfinished = [], {}, 0
        for one in kept["runs"]:
            run = folder / one["folder"]
            if (run / FAILED).exists():
                failures[run.name] = (run / FAILED).read_text().strip()
                continue
            own = []
            if (run / CONFIG).exists():
                own = rows_of_run(run, kept["budgets"], entry=one["entry"], reward=one["reward"])
            unfinished += not (own and own[-1]["over"]) and not (run / STOPPED).exists()
            rows += own
        return cls(table_of(rows), folder, failures, kept["early_stopping"], unfinished)

    @classmethod
    def of_runs(cls, folders: Sequence[str | Path], budgets: Sequence[int] = ()) -> "Comparison":
        """Put runs side by side that were made one by one.

        Args:
            folders: of the runs.
            budgets: queries at which curves are read; by default powers of two and the runs' own.
        Raises:
            InputError: they differ in the model, or in what a reward of one name means.
        """
        paths = [Path(folder) for folder in folders]
        check_alike(paths)
        configs = [read_yaml(path / CONFIG) for path in paths]
        own = sorted({int(config["queries"]) for config in configs})
        read = sorted(set(budgets)) or sorted({2**power for power in range(4, own[-1].bit_length())} | set(own))
        rows = [rows_of_run(path, read) for path in paths]
        unfinished = sum(not (own and own[-1]["over"]) for own in rows)
        return cls(table_of(row for own in rows for row in own), unfinished=unfinished)

    @cached_property
    def scored(self) -> "pd.DataFrame":
        """The table with the column `score`, the reward on its cell's scale (`zo_dno.comparison.statistics`)."""
        return statistics.normalised(self.table, self.reference)

    @property
    def what_is_left(self) -> str:
        """How many runs are not at their end, and what to do."""
        runs = "1 run is" if self.unfinished == 1 else f"{self.unfinished} runs are"
        on = "" if self.folder is None else f" Go on: zo-dno compare {self.folder / PLAN} --out {self.folder}"
        return f"{runs} not finished.{on}"

    @property
    def entries(self) -> list[str]:
        """The entries, best-of-N first."""
        names = list(dict.fromkeys(self.table["entry"]))
        return sorted(names, key=lambda name: (name != self.reference, name))

    @property
    def reference(self) -> str:
        """The entry that all are compared with."""
        names = list(self.table["entry"])
        return self.baseline if self.baseline in names else names[0]

    @property
    def budgets(self) -> list[int]:
        """Where curves are read, in queries."""
        return sorted(int(budget) for budget in self.table["budget"].unique())

    def summary(self, budget: int | None = None) -> "pd.DataFrame":
        """Return a row an entry at a budget, the best first: what its runs reached, and what it took.

        Args:
            budget: in queries; by default the largest.
        """
        import pandas as pd

        budget = self.budgets[-1] if budget is None else budget
        ranks = statistics.mean_ranks(self.scored, budget)
        rows = []
        for entry in self.entries:
            cells = statistics.strata_of(self.scored, entry, budget)
            if not cells:
                continue
            own = self.scored[(self.scored["entry"] == entry) & (self.scored["budget"] == budget)]
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
                }
            )
        return pd.DataFrame(rows).sort_values("iqm", ascending=False, kind="stable").reset_index(drop=True)

    def claims(self, reference: str | None = None, budget: int | None = None) -> list[statistics.Claim]:
        """Say of every entry whether it is ahead of one of them, and whether that is significant.

        Args:
            reference: entry; by default best-of-N.
            budget: in queries; by default the largest.
        """
        return statistics.claims(self.scored, reference or self.reference, budget or self.budgets[-1])

    def at_equal_seconds(self, budget: int | None = None) -> "pd.DataFrame":
        """Compare every entry with best-of-N that had as many seconds, a row each.

        What best-of-N expects after n draws is taken from all of a cell's prior draws, those of every seed together, so
        that n may be several times a run's queries; beyond them it is missing.
        """
        import numpy as np
        import pandas as pd

        from zo_dno.comparison.trials import completed

        budget = self.budgets[-1] if budget is None else budget
        rows = []
        for (reward, prompt), cell in self.table.groupby(["reward", "prompt"], sort=True):
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

    def write(self, out: str | Path) -> None:
        """Write the table as .parquet or .csv."""
        path = Path(out)
        if path.suffix not in (".parquet", ".csv"):
            raise InputError(f"out must end in .parquet or .csv; got {path}.")
        write = self.table.to_parquet if path.suffix == ".parquet" else self.table.to_csv
        write_whole(path, lambda unfinished: write(unfinished, index=False))

    def report(self, out: str | Path | None = None) -> Path:
        """Write everything as one HTML file; returns where."""
        from zo_dno.comparison.report import write_comparison_report

        return write_comparison_report(self, None if out is None else Path(out))

    def _repr_html_(self) -> str:
        from zo_dno.comparison.report import card

        return card(self)


def compare(
    out: str | Path,
    strategies: Sequence[Named],
    prompts: Sequence[str],
    *,
    rewards: Sequence[Named] = ("jpeg_smaller",),
    seeds: int | Sequence[int] = 5,
    spaces: Sequence[str] = (DEFAULT_SPACE,),
    queries: int = 256,
    budgets: Sequence[int] = (),
    at_once: int | None = None,
    early_stopping: bool = False,
    ray: str = LOCAL,
    on_trial: Done | None = None,
    **settings: Any,
) -> Comparison:
    """Run strategies x spaces x rewards x prompts x seeds as Ray Tune trials, or go on with it where it was stopped.

    Best-of-N (`random_search`) is always among them.

    Args:
        out: a new folder, or the one of the same comparison. Each run has a folder in it.
        strategies: names, classes, or mappings with `strategy`, `strategy_options`, `space`, `space_options`, `name`.
        prompts: of the model.
        rewards: names, functions, or mappings with `reward`, `reward_options` and `name`.
        seeds: how many, or which.
        spaces: that strategies are run in which name none.
        queries: of each run.
        budgets: queries at which curves are read; by default powers of two from 16, and `queries`.
        at_once: runs under way, each with as many CPUs and GPUs as `generator_cpus` (1) and `generator_gpus` (0) say;
            by default one for each CPU.
        early_stopping: stop runs that are behind (ASHA); for a first look, never for figures to show.
        ray: where the runs are made: "local", "auto" or the address of a cluster that sees `out`.
        on_trial: called with (runs that are over, runs in all).
        settings: of every run, by the names of `zo-dno run`'s options, such as model="scenes", steps=4, cache=...
    Raises:
        InputError: something does not fit, or `out` holds another comparison; nothing was run.
        RunError: no run came far enough to be shown.
    """
    plan = Plan(strategies, prompts, rewards, seeds, spaces, queries, budgets, {"threads": 1, **settings})
    return run_plan(plan, Path(out), at_once=at_once, early_stopping=early_stopping, ray=ray, on_trial=on_trial)


def run_plan(
    plan: Plan,
    out: Path,
    *,
    at_once: int | None = None,
    early_stopping: bool = False,
    ray: str = LOCAL,
    on_trial: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run a plan as `compare` does."""
    if at_once is not None and at_once < 1:
        raise InputError(f"at_once must be at least 1; got {at_once}.")
    _keep(plan, out, early_stopping)
    at_once = at_once or len(os.sched_getaffinity(0))
    if on_trial is None and in_notebook():
        on_trial = ProgressCell().trials
    run_trials(plan, out, at_once=at_once, ray=ray, early_stopping=early_stopping, on_trial=on_trial)
    found = Comparison.load(out)
    if found.table.empty:
        first = next(iter(found.failures.values()), "it was stopped before the first was")
        raise RunError(f"No run of the comparison is far enough to be shown: {first}")
    found.write(out / TABLE)
    return found


def _keep(plan: Plan, out: Path, early_stopping: bool) -> None:
    """Write down what is to be run, or find that it is what is there."""
    import yaml

    values = plan.to_dict() | ({"early_stopping": True} if early_stopping else {})
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    path = out / PLAN
    if path.exists():
        if read_yaml(path) != yaml.safe_load(text):
            changed = [name for name, value in values.items() if read_yaml(path).get(name) != value]
            raise InputError(f"out must be a new folder, or hold the same comparison; {out} differs in {changed[0]}.")
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"out must be a new folder; {out} holds something else. Name another.")
    out.mkdir(parents=True, exist_ok=True)
    runs = [
        {"folder": str(trial.folder(out).relative_to(out)), "entry": trial.entry, "reward": trial.reward}
        for trial in plan.trials
    ]
    kept = {"budgets": list(plan.budgets), "early_stopping": early_stopping, "runs": runs}
    write_text(out / RUNS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    write_text(path, text)
