"""Trials of a comparison as Ray Tune runs them; every trial is a run with a folder of its own."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zo_dno.comparison.plan import BASELINE, Plan, Trial
from zo_dno.comparison.table import completed
from zo_dno.distributed.cluster import LOCAL
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import one_line
from zo_dno.option_group import marked
from zo_dno.results.state import RunState
from zo_dno.run import optimize as api
from zo_dno.run.options import GENERATOR_ACTORS, RunOptions
from zo_dno.storage.atomic import write_text
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.run_folder import CONFIG, LEDGER

STATE = "tune"  # folder of Ray Tune's own state
FAILED, STOPPED = "failed.txt", "stopped-early.txt"
GAIN = "gain"  # metric of early stopping: best reward above the prior draws, in their standard deviations
_TRIAL = "trial-"  # begins the names of Ray Tune's folders of trials
_ENDLESS = 1e9  # instead of infinity, which Ray Tune's loggers cannot take
_GRACE = 2  # budgets before a trial may be stopped early
_CHANGES = tuple(
    name for name in marked(RunOptions, "changeable") if name not in (*GENERATOR_ACTORS, "queries", "held_out")
)
"""Options with which a trial that began may go on."""
_KEPT_GENERATORS = 4  # loaded models that a process keeps, one for each prompt, without shared memory

Done = Callable[[int, int], None]
"""(trials that are over, all of them)."""


def run_trials(
    plan: Plan,
    out: Path,
    *,
    at_once: int,
    ray: str,
    early_stopping: bool = False,
    on_trial: Done | None = None,
) -> None:
    """Run the unfinished trials; one that was killed resumes at the end of its ledger, and one that failed is retried.

    Args:
        plan: Plan of the comparison.
        out: Folder of the comparison.
        at_once: Number of trials at the same time.
        ray: Address of Ray.
        early_stopping: Whether to stop trials that are behind at a budget (ASHA, Li et al. 2020); those of best-of-N
            are never stopped.
        on_trial: Function that is called when a trial is over.
    """
    forget_failures(plan, out)
    waiting = [trial for trial in plan.trials if not is_over(trial, out)]
    if not waiting:
        return
    from zo_dno.distributed.cluster import connect

    taken = takes(plan, connect(ray), ray)
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

    scheduler: Any = FIFOScheduler()
    if early_stopping:
        scheduler = AsyncHyperBandScheduler(
            time_attr="training_iteration", max_t=len(plan.budgets), grace_period=min(_GRACE, len(plan.budgets))
        )
    numbers = {"trial": tune.grid_search([trial.number for trial in waiting])}
    trainable = tune.with_parameters(
        _trainable(), plan=plan, out=str(out.resolve()), here=str(Path.cwd()), pauses=early_stopping
    )
    state = (out / STATE).resolve()
    counter = _counter(len(plan.trials) - len(waiting), len(plan.trials), on_trial)
    with quiet_tune():
        tuner = tune.Tuner(
            tune.with_resources(trainable, taken),
            param_space=numbers,
            tune_config=tune.TuneConfig(
                metric=GAIN,
                mode="max",
                scheduler=scheduler,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: f"{_TRIAL}{trial.config['trial']:04d}",
            ),
            run_config=tune.RunConfig(
                name=f"session-{len(list(state.glob('session-*'))) + 1:03d}" if state.exists() else "session-001",
                storage_path=str(state),
                verbose=0,
                log_to_file=False,
                callbacks=[counter],
            ),
        )
        ended = tuner.fit()
    for one in ended:
        trial = plan.trials[int(Path(one.path).name.removeprefix(_TRIAL))]
        if one.error is not None and not is_over(trial, out):  # such as an actor that was killed for its memory
            note_failure(trial.folder(out), one.error)
    for trial in waiting if early_stopping else ():
        if trial.number in counter.ended and not is_over(trial, out):
            (trial.folder(out) / STOPPED).touch()


def takes(plan: Plan, ray: Any, address: str) -> dict[str, float]:
    """Return the resources of a trial: those of its generator, unless that has actors of its own.

    Raises:
        InputError: This machine has fewer GPUs.
    """
    config = plan.trials[0].config
    gpus = 0 if config.generators else config.generator_gpus
    there = ray.cluster_resources().get("GPU", 0)
    if address == LOCAL and gpus > there:
        raise InputError(f"generator_gpus must be at most {there:g}, as many as there are here; got {gpus:g}.")
    return {"cpu": config.generator_cpus, "gpu": gpus}


def is_over(trial: Trial, out: Path) -> bool:
    """Return whether a trial made all its queries, was stopped early, or failed in this session."""
    folder = trial.folder(out)
    if (folder / FAILED).exists() or (folder / STOPPED).exists():
        return True
    state = RunState.of(folder)
    return state.has_completed(trial.config.queries) or state.spent_another_budget


def forget_failures(plan: Plan, out: Path) -> None:
    """Let the trials that failed be tried again: what stopped them, such as an outage, may be over."""
    for trial in plan.trials:
        (trial.folder(out) / FAILED).unlink(missing_ok=True)


def note_failure(folder: Path, error: Any) -> None:
    """Write in one line why a trial failed."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FAILED, reason_of(error) + "\n")


def reason_of(error: Any) -> str:
    """Return the reason of an error in one line, also of one that Ray wraps or has as a text."""
    cause = getattr(error, "cause", None) or error
    own = isinstance(cause, ZoDnoError) or not isinstance(cause, Exception)
    return one_line(str(cause) if own else f"{type(cause).__name__}: {cause}")


def failure(folder: Path) -> str | None:
    """Return why the trial in a folder failed; None if it did not."""
    path = folder / FAILED
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


class Trials:
    """Runs trials one after the other in one process, which keeps the models that it has loaded.

    Args:
        plan: Plan of the comparison.
        out: Folder of the comparison.
    """

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self._out = plan, out
        self._generators: dict[str, Any] = {}

    def advance(self, number: int, queries: int) -> float:
        """Run a trial up to a number of queries; returns its gain.

        A failure's reason is written to its folder, and ends the trial until `forget_failures`.
        """
        trial = self._plan.trials[number]
        folder = trial.folder(self._out)
        if (folder / FAILED).exists():
            return -_ENDLESS
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._run(trial, folder, queries)
            return gain(completed(folder)[:queries], constrained=trial.config.min_log_prob is not None)
        except Exception as error:
            note_failure(folder, error)
            return -_ENDLESS

    def _run(self, trial: Trial, folder: Path, queries: int) -> None:
        config, given = trial.config, dict(trial.given)
        generator = self._generator(trial)
        if (folder / CONFIG).exists():
            if (folder / LEDGER).exists() and len(completed(folder)) > queries:
                return  # an earlier session came further
            changes = {name: getattr(config, name) for name in _CHANGES}
            api.resume(folder, generator=generator, **{**changes, **given, "queries": queries})
            return
        arguments = {
            **config.search_arguments,
            **given,
            "queries": queries,
            "horizon": config.horizon or config.queries,
        }
        api.optimize(generator, out=folder, **arguments)

    def _generator(self, trial: Trial) -> Any:
        from zo_dno.run.make_generator import make_generator

        if trial.prompt not in self._generators:
            if len(self._generators) >= _KEPT_GENERATORS:
                self._drop_first()
            self._generators[trial.prompt] = make_generator(trial.config)
        return self._generators[trial.prompt]

    def _drop_first(self) -> None:
        """Drop the generator that was made first, and stop its actors."""
        with closed_after(self._generators.pop(next(iter(self._generators)))):
            pass

    def close(self) -> None:
        """Drop the generators, and stop their actors."""
        while self._generators:
            self._drop_first()


def gain(rows: list[QueryRow], *, constrained: bool) -> float:
    """Return the best reward above the first 16 candidates' mean, in their standard deviations."""
    import numpy as np

    first = np.array([row.value for row in rows[:16] if row.value is not None])
    best = max(
        (row.value for row in rows if row.value is not None and row.is_feasible(constrained=constrained)), default=None
    )
    if best is None or len(first) < 2:
        return -_ENDLESS
    return float((best - first.mean()) / max(float(first.std(ddof=1)), 1e-12))


def _trainable() -> type:
    """Return Ray Tune's class of a trial; made here because Ray is imported late."""
    from ray import tune

    class RunTrial(tune.Trainable):  # type: ignore[misc]
        """A trial in a step for each budget if trials may be stopped early, else in a single step."""

        def setup(self, config: dict[str, Any], **given: Any) -> None:
            import torch

            torch.set_num_threads(1)
            if given["here"] not in sys.path:
                sys.path.insert(0, given["here"])  # for the caller's own modules
            self._plan, self._pauses = given["plan"], given["pauses"]
            self._number, self._step = config["trial"], 0
            self._trials = Trials(self._plan, Path(given["out"]))

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._number, self._step = new_config["trial"], 0
            return True

        def step(self) -> dict[str, Any]:
            from zo_dno.generators.quiet import quiet_libraries

            stages = self._plan.budgets if self._pauses else self._plan.budgets[-1:]
            with quiet_libraries():
                reached = self._trials.advance(self._number, stages[self._step])
            self._step += 1
            if self._plan.trials[self._number].entry == BASELINE:
                reached = _ENDLESS  # never stopped: everything is compared with best-of-N
            return {GAIN: reached, "done": self._step == len(stages)}

        def cleanup(self) -> None:
            self._trials.close()

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}  # the ledger is the checkpoint

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Do nothing: the ledger holds the state."""

    return RunTrial


def _counter(done: int, total: int, on_trial: Done | None) -> Any:
    from ray import tune

    class Counter(tune.Callback):  # type: ignore[misc]
        """Counts the trials that are over, and lists their numbers."""

        def __init__(self, done: int, total: int, on_trial: Done | None) -> None:
            self.done, self.total, self.on_trial = done, total, on_trial
            self.ended: list[int] = []

        def __getstate__(self) -> dict[str, Any]:
            return vars(self) | {"on_trial": None}  # Ray Tune pickles callbacks, and a progress bar cannot be

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.on_trial_complete(iteration, trials, trial)

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.done += 1
            self.ended.append(trial.config["trial"])
            if self.on_trial is not None:
                self.on_trial(self.done, self.total)

    return Counter(done, total, on_trial)


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Silence Ray Tune, and restore the handler of Ctrl-C that it replaces."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # rewards and files are found from the caller's folder
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.ERROR)
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        logger.setLevel(level)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
