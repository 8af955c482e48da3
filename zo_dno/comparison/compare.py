"""`compare`, and the comparison that it returns."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.plan import PLAN, Named, Plan, read_plan
from zo_dno.comparison.report import card, write_comparison_report
from zo_dno.comparison.table import check_alike, rows_of_run, table_of
from zo_dno.comparison.trials import STOPPED, Done, failure, run_trials
from zo_dno.distributed.cluster import LOCAL
from zo_dno.errors import InputError, RunError
from zo_dno.ipython import in_notebook
from zo_dno.option_group import OptionGroup
from zo_dno.results.progress_cell import ProgressCell
from zo_dno.run.arguments import check_arguments
from zo_dno.run.config import as_recorded
from zo_dno.run.processors import processors
from zo_dno.scenes import ALIASES, SHORT
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.atomic import read_yaml, remove_unfinished, write_text, write_whole
from zo_dno.storage.checked_folder import check_folder
from zo_dno.storage.csv_cells import plain_cell
from zo_dno.storage.folder_lock import FolderLock
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.run_folder import CONFIG, FIGURE_FILES, check_is_run, damage_named, is_used
from zo_dno.storage.signature import SIGNATURE, check_trusted, sign

_log = logging.getLogger(__name__)
RUNS, TABLE = "runs.json", "comparison.parquet"
_WRITTEN = (PLAN, SIGNATURE, RUNS, TABLE, "report.html", *FIGURE_FILES)
_SEVERAL = {"strategy": "strategies", "reward": "rewards", "space": "spaces"}  # key of a config -> key of a plan


class Comparison(Analysis):
    """Runs side by side, read from their folders, and written as a table or a report."""

    @classmethod
    def load(cls, folder: str | Path) -> "Comparison":
        """Read the folder of a comparison, finished or not.

        Raises:
            InputError: The folder is not a comparison's.
        """
        folder = Path(folder)
        if not (folder / PLAN).is_file():
            raise InputError(f"comparison must be a folder that `zo-dno compare` wrote; {folder} has no {PLAN}.")
        check_folder(folder)
        with damage_named(folder):
            return cls._loaded(folder)

    @classmethod
    def _loaded(cls, folder: Path) -> "Comparison":
        kept = parse_json((folder / RUNS).read_bytes())
        rows, failures, unfinished = [], {}, 0
        for one in kept["runs"]:
            run = folder / one["folder"]
            reason = failure(run)
            if reason is not None:
                failures[run.name] = reason
                unfinished += 1
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
            folders: Folders of the runs.
            budgets: Queries at which curves are read, by default powers of two and the runs' own.
        Raises:
            InputError: There are no runs, or they differ in the model, or in the meaning of a reward's name.
        """
        paths = [Path(folder) for folder in folders]
        if not paths:
            raise InputError("folders must name at least one run; got none.")
        for path in paths:
            check_is_run(path)
        check_alike(paths)
        configs = [read_yaml(path / CONFIG) for path in paths]
        own = sorted({int(config["queries"]) for config in configs})
        read = sorted(set(budgets)) or sorted({2**power for power in range(4, own[-1].bit_length())} | set(own))
        rows = [rows_of_run(path, read) for path in paths]
        unfinished = sum(not (own and own[-1]["over"]) for own in rows)
        return cls(table_of(row for own in rows for row in own), unfinished=unfinished)

    def write(self, out: str | Path) -> None:
        """Write the table as a .parquet or .csv file."""
        path = Path(out)
        if path.suffix not in (".parquet", ".csv"):
            raise InputError(f"out must end in .parquet or .csv; got {path}.")
        write = self.table.to_parquet if path.suffix == ".parquet" else self.table.map(plain_cell).to_csv
        write_whole(path, lambda unfinished: write(unfinished, index=False))

    def report(self, out: str | Path | None = None, *, figures: str | None = None) -> Path:
        """Write the report as one HTML file, by default in the comparison's folder; returns its path.

        Args:
            out: Path of the report.
            figures: Kind of the files "svg", "pdf" or "png" in which the figures are written, too, into the folder
                `figures` beside the report; None for none.
        """
        return write_comparison_report(self, None if out is None else Path(out), figures=figures)

    def _repr_html_(self) -> str:
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
    """Run strategies x spaces x rewards x prompts x seeds as Ray Tune trials, or resume such a comparison.

    Best-of-N (`random_search`) is always among the strategies.

    Args:
        out: New folder, or the folder of the same comparison; each run has a folder in it.
        strategies: Names, classes, or mappings with `strategy`, `strategy_options`, `space`, `space_options`, `name`.
        prompts: Prompts of the model.
        rewards: Names, functions, or mappings with `reward`, `reward_options` and `name`.
        seeds: Number of seeds, or the seeds themselves.
        spaces: Search spaces for strategies that name none.
        queries: Number of queries of each run.
        budgets: Queries at which curves are read, by default powers of two from 16, and `queries`.
        at_once: Number of runs at the same time, by default one for each CPU. Each takes `generator_cpus` (1) CPUs
            and `generator_gpus` (0) GPUs.
        early_stopping: Whether to stop runs that are behind (ASHA); for a first look, never for figures to show.
        ray: Ray that makes the runs: "local", "auto" or the address of a cluster that sees `out`.
        on_trial: Function that is called with the number of runs that are over and the number of all runs.
        settings: Options of every run, by their names in `zo-dno run`, such as model="scenes-64", steps=4, cache=...
    Raises:
        InputError: An argument does not fit, or `out` holds another comparison; nothing was run.
        RunError: No run has a completed query.
    """
    check_arguments(out=out)
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
    """Run a plan, as `compare` does."""
    if at_once is not None and at_once < 1:
        raise InputError(f"at_once must be at least 1; got {at_once}.")
    plan = with_sized_model(plan, out)
    _keep(plan, out, early_stopping)
    if too_few := plan.too_few_runs:
        _log.warning(too_few)
    at_once = at_once or processors()
    if on_trial is None and in_notebook():
        on_trial = ProgressCell().trials
    with FolderLock(out, "comparison"):
        run_trials(plan, out, at_once=at_once, ray=ray, early_stopping=early_stopping, on_trial=on_trial)
        found = Comparison.load(out)
        if found.table.empty:
            first = next(iter(found.failures.values()), "it was stopped before the first was")
            raise RunError(f"No run of the comparison is far enough to be shown: {first}")
        found.write(out / TABLE)
    return found


def resume_plan(out: Path, *, trust: bool = False, on_trial: Done | None = None) -> Comparison:
    """Resume the comparison in a folder by its own plan, as `run_plan` does, with Ray on this machine.

    Args:
        out: Folder of the comparison.
        trust: Whether to run code that the plan of another user's folder names.
        on_trial: Function that is called with the number of runs that are over and the number of all runs.
    Raises:
        InputError: The folder is not a comparison's, or not this user's.
    """
    check_folder(out)
    kept = {"threads": 1, **read_yaml(out / PLAN)}
    check_trusted(out, _trusted(kept), trust=trust)
    early_stopping = bool(kept.pop("early_stopping", False))
    return run_plan(read_plan(kept), out, early_stopping=early_stopping, on_trial=on_trial)


def with_sized_model(plan: Plan, out: Path) -> Plan:
    """Return a plan that names the size of the built-in model, which a comparison of before two sizes leaves open."""
    if plan.settings.get("model", SHORT) != SHORT:
        return plan
    model = _recorded_plan(out)["model"] if (out / PLAN).exists() else ALIASES[SHORT]
    return replace(plan, settings={**plan.settings, "model": model})


def _recorded_plan(out: Path) -> dict[str, Any]:
    return as_recorded({"model": SHORT} | read_yaml(out / PLAN))


def _keep(plan: Plan, out: Path, early_stopping: bool) -> None:
    """Write the plan, or check that the folder holds the same one."""
    from zo_dno.storage.plain_yaml import parse_yaml, to_yaml

    values = plan.to_dict() | ({"early_stopping": True} if early_stopping else {})
    values = json.loads(json.dumps(values, default=_plain))
    text = to_yaml(values)
    path = out / PLAN
    if path.exists():
        kept, values = _recorded_plan(out), parse_yaml(text)
        changed = [
            name for name in values | kept if (name in kept, kept.get(name)) != (name in values, values.get(name))
        ]
        if changed:
            raise InputError(f"out must be a new folder, or hold the same comparison; {out} differs in {changed[0]}.")
        remove_unfinished(out, _WRITTEN)  # and nothing inside: its runs may be at work for another process
        return
    there = [one.name for one in out.iterdir() if not one.name.startswith(".")] if out.is_dir() else []
    begun = there == [RUNS]  # by a process that died at its second write
    if is_used(out) and not begun:
        raise InputError(f"out must be a new folder; {out} holds something else. Name another.")
    out.mkdir(parents=True, exist_ok=True)
    remove_unfinished(out, _WRITTEN)
    runs = [
        {"folder": str(trial.folder(out).relative_to(out)), "entry": trial.entry, "reward": trial.reward}
        for trial in plan.trials
    ]
    kept = {"budgets": list(plan.budgets), "early_stopping": early_stopping, "runs": runs}
    sign(out, _trusted(values))
    write_text(out / RUNS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    write_text(path, text)


def _trusted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan runs, by the names of a run's config, which signatures know."""
    return {**values, **{one: values.get(several) for one, several in _SEVERAL.items()}}


def _plain(value: Any) -> Any:
    """Return what a file holds of a value that is a Python object, such as a path or a call policy."""
    return value.given if isinstance(value, OptionGroup) else str(value)
