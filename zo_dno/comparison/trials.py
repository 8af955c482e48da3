"""Running the trials of a comparison with Ray Tune; every trial is a run with a folder of its own."""

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
from zo_dno.errors import InputError, ZoDnoError
from zo_dno.results.state import RunState
from zo_dno.run import optimize as api
from zo_dno.storage.atomic import write_text
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.run_folder import CONFIG

STATE = "tune"  # folder of Ray Tune's own state
FAILED, STOPPED = "failed.txt", "stopped-early.txt"
GAIN = "gain"  # what early stopping compares: best reward above the prior draws, in their standard deviations
_ENDLESS = 1e9  # instead of infinity, which Ray Tune's loggers cannot take
_GRACE = 2  # budgets before a trial may be stopped early
_KEPT_GENERATORS = 4  # loaded models a process keeps: one a prompt, which share their networks' memory no further

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
    """Run what is not finished yet; a trial that was killed goes on where its ledger ends.

    Args:
        plan: what is compared.
        out: folder of the comparison.
        at_once: trials under way.
        ray: where they run.
        early_stopping: stop trials that are behind at a budget (ASHA, Li et al. 2020), except those of best-of-N.
        on_trial: called when a trial is over.
    """
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
    steps = {"trial": tune.grid_search([trial.number for trial in waiting])}
    trainable = tune.with_parameters(
        _trainable(), plan=plan, out=str(out.resolve()), here=str(Path.cwd()), pauses=early_stopping
    )
    state = (out / STATE).resolve()
    counter = _counter(len(plan.trials) - len(waiting), len(plan.trials), on_trial)
    with quiet_tune():
        tuner = tune.Tuner(
            tune.with_resources(trainable, taken),
            param_space=steps,
            tune_config=tune.TuneConfig(
                metric=GAIN,
                mode="max",
                scheduler=scheduler,
                max_concurrent_trials=at_once,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: f"trial-{trial.config['trial']:04d}",
            ),
            run_config=tune.RunConfig(
                name=f"session-{len(list(state.glob('session-*'))) + 1:03d}" if state.exists() else "session-001",
                storage_path=str(state),
                verbose=0,
                log_to_file=False,
                callbacks=[counter],
            ),
        )
        tuner.fit()
    for trial in waiting if early_stopping else ():
        if trial.number in counter.ended and not is_over(trial, out):
            (trial.folder(out) / STOPPED).touch()


def takes(plan: Plan, ray: Any, address: str) -> dict[str, float]:
    """Return what a trial takes of a machine: what its generator does, unless that has actors of its own.

    Raises:
        InputError: this machine does not have as much.
    """
    config = plan.trials[0].config
    gpus = 0 if config.generators else config.generator_gpus
    there = ray.cluster_resources().get("GPU", 0)
    if address == LOCAL and gpus > there:
        raise InputError(f"generator_gpus must be at most {there:g}, as many as there are here; got {gpus:g}.")
    return {"cpu": config.generator_cpus, "gpu": gpus}


def is_over(trial: Trial, out: Path) -> bool:
    """Whether a trial asked everything it was to ask, was stopped early or cannot be run."""
    folder = trial.folder(out)
    if (folder / FAILED).exists() or (folder / STOPPED).exists():
        return True
    state = RunState.of(folder)
    return state.answered(trial.config.queries) or state.spent_another_budget


class Trials:
    """Carries out trials one after the other in one process, with the models that it has loaded.

    Args:
        plan: what is compared.
        out: folder of the comparison.
    """

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self._out = plan, out
        self._generators: dict[str, Any] = {}

    def advance(self, number: int, queries: int) -> float:
        """Bring a trial to so many queries; returns its gain. One that fails leaves the reason in its folder."""
        trial = self._plan.trials[number]
        folder = trial.folder(self._out)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._run(trial, folder, queries)
        except ZoDnoError as error:
            folder.mkdir(exist_ok=True)
            write_text(folder / FAILED, f"{error}\n")
            return -_ENDLESS
        return gain(completed(folder), constrained=trial.config.min_log_prob is not None)

    def _run(self, trial: Trial, folder: Path, queries: int) -> None:
        config, given = trial.config, dict(trial.given)
        generator = self._generator(trial)
        if (folder / CONFIG).exists():
            api.resume(folder, generator=generator, queries=queries, **given)
            return
        arguments = {
            **config.search_arguments,
            **given,
            "queries": queries,
            "horizon": config.horizon or config.queries,
        }
        api.optimize(generator, out=folder, **arguments)

    def _generator(self, trial: Trial) -> Any:
        from zo_dno.run.build import make_generator

        if trial.prompt not in self._generators:
            if len(self._generators) >= _KEPT_GENERATORS:
                self._generators.pop(next(iter(self._generators)))
            self._generators[trial.prompt] = make_generator(trial.config)
        return self._generators[trial.prompt]


def gain(rows: list[QueryRow], *, constrained: bool) -> float:
    """Return how far the best lies above the first 16 candidates' mean, in their standard deviations."""
    import numpy as np

    first = np.array([row.value for row in rows[:16] if row.value is not None])
    best = max(
        (row.value for row in rows if row.value is not None and row.is_feasible(constrained=constrained)), default=None
    )
    if best is None or len(first) < 2:
        return -_ENDLESS
    return float((best - first.mean()) / max(float(first.std(ddof=1)), 1e-12))


def _trainable() -> type:
    """Make Ray Tune's form of a trial; Ray is imported here and nowhere before."""
    from ray import tune

    class RunTrial(tune.Trainable):  # type: ignore[misc]
        """A trial, budget by budget where trials may be stopped early, else in one go."""

        def setup(self, config: dict[str, Any], **given: Any) -> None:
            import torch

            torch.set_num_threads(1)
            if given["here"] not in sys.path:
                sys.path.insert(0, given["here"])  # where the caller's own modules are
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
                reached = _ENDLESS  # best-of-N is what everything is compared with
            return {GAIN: reached, "done": self._step == len(stages)}

        def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
            return {}  # the ledger is the checkpoint

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing is kept outside of the ledger."""

    return RunTrial


def _counter(done: int, total: int, on_trial: Done | None) -> Any:
    from ray import tune

    class Counter(tune.Callback):  # type: ignore[misc]
        """Counts trials that are over, and remembers which ended by themselves or were stopped early."""

        def __init__(self, done: int, total: int, on_trial: Done | None) -> None:
            self.done, self.total, self.on_trial = done, total, on_trial
            self.ended: list[int] = []

        def __getstate__(self) -> dict[str, Any]:
            return vars(self) | {"on_trial": None}  # Ray Tune stores callbacks, and a progress bar cannot be

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.done += 1
            self.ended.append(trial.config["trial"])
            if self.on_trial is not None:
                self.on_trial(self.done, self.total)

    return Counter(done, total, on_trial)


@contextmanager
def quiet_tune() -> Iterator[None]:
    """Keep Ray Tune's tables and remarks off the screen, and its handler of Ctrl-C from staying when it is done."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # rewards and files are found from where this was started
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
