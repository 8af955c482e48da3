"""Search of a strategy's options with Ray Tune: each set of options is run on every prompt, reward and seed."""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from zo_dno.comparison.plan import BASELINE, Named, Plan
from zo_dno.comparison.trials import GAIN, STATE, Trials, failure, forget_failures, quiet_tune, reason_of, takes
from zo_dno.distributed.cluster import LOCAL
from zo_dno.distributed.ray_private import nevergrad_search
from zo_dno.errors import InputError, given
from zo_dno.run.arguments import check_arguments
from zo_dno.run.config import CHANGEABLE
from zo_dno.run.processors import processors
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.run_folder import make_folder

_FAILED = "failed"  # metric of a set: why all of its runs failed
_SEARCHERS = ("nevergrad", "optuna", "random")
_OF_THE_END = {
    "target",
    "repeats",
    "held_out",
    "baseline",
    "top",
}  # which a resumed run may change, and its result with it
_NOT_OF_THE_RUNS = (CHANGEABLE - _OF_THE_END) | {"seeds", "queries", "budgets"}


@dataclass(frozen=True)
class Tuned:
    """Sets of options that were tried, the best first.

    Attributes:
        options: Sets of options.
        gains: Gain of each set: the best reward above the first 16 candidates' mean, in their standard deviations,
            averaged over the set's runs.
    """

    options: tuple[dict[str, Any], ...]
    gains: tuple[float, ...]

    @property
    def best(self) -> dict[str, Any]:
        """The set with the highest gain, which is biased upwards by the choice: compare the set on other seeds."""
        return self.options[0]


def tune(
    out: str | Path,
    strategy: Named,
    ranges: Mapping[str, Any],
    prompts: Sequence[str],
    *,
    rewards: Sequence[Named] = ("jpeg_smaller",),
    seeds: int | Sequence[int] = 3,
    space: str = DEFAULT_SPACE,
    queries: int = 256,
    trials: int = 20,
    searcher: str = "nevergrad",
    at_once: int | None = None,
    ray: str = LOCAL,
    seed: int = 0,
    **settings: Any,
) -> Tuned:
    """Search the options of a strategy.

    Args:
        out: Folder of the runs; runs that are in it already are not repeated.
        strategy: Name or class of the strategy.
        ranges: Range of each option: (low, high), whole numbers if both are, on a logarithmic scale if low is above 0
            and high more than 10 times low; or a list of choices.
        prompts: Prompts of the model.
        rewards: Names, functions, or mappings as `compare` takes them.
        seeds: Number of seeds, or the seeds themselves.
        space: Search space.
        queries: Number of queries of each run.
        trials: Number of sets of options.
        searcher: Searcher of Ray Tune: "nevergrad", "optuna" (pip install optuna) or "random".
        at_once: Number of sets at the same time, by default one for each CPU.
        ray: Ray that makes the runs: "local", "auto" or the address of a cluster that sees `out`.
        seed: Seed of the searcher.
        settings: Options of every run, by their names in `zo-dno run`.
    Raises:
        InputError: An argument does not fit, or no set could be run.
    """
    if searcher not in _SEARCHERS:
        raise InputError(f"searcher must be one of {', '.join(_SEARCHERS)}; got {searcher!r}.")
    if trials < 1:
        raise InputError(f"trials must be at least 1; got {trials}.")
    check_arguments(out=out)
    if not isinstance(ranges, Mapping) or not ranges:
        raise InputError(f"ranges must be a mapping of options to their ranges; got {given(ranges)}.")
    folder = Path(out).resolve()
    plan_of = partial(_plan, strategy, prompts, rewards, seeds, space, queries, {"threads": 1, **settings})
    example = plan_of({name: _first(name, values) for name, values in ranges.items()})  # refuses what does not fit
    make_folder(folder)
    from zo_dno.distributed.cluster import connect

    taken = takes(example, connect(ray), ray)
    from ray import tune as ray_tune

    domain = {name: _domain(values) for name, values in ranges.items()}
    config = ray_tune.TuneConfig(
        metric=GAIN,
        mode="max",
        num_samples=trials,
        search_alg=_searcher(searcher, seed),
        max_concurrent_trials=at_once or processors(),
    )
    with quiet_tune():
        found: Any = ray_tune.Tuner(
            ray_tune.with_resources(partial(_try, plan_of, folder, str(Path.cwd())), taken),
            param_space=domain,
            tune_config=config,
            run_config=ray_tune.RunConfig(
                name="tuning", storage_path=str(folder / STATE), verbose=0, log_to_file=False
            ),
        ).fit()
    scored = [(float(one.metrics[GAIN]), dict(one.config)) for one in found if one.metrics and GAIN in one.metrics]
    failures = [_failure_of(one) for one in found]
    if all(failures):
        raise InputError(f"no set of options could be run: {failures[0] if failures else 'nothing was tried'}")
    scored.sort(key=lambda one: -one[0])
    return Tuned(tuple(options for _, options in scored), tuple(gain for gain, _ in scored))


def _plan(
    strategy: Named,
    prompts: Sequence[str],
    rewards: Sequence[Named],
    seeds: int | Sequence[int],
    space: str,
    queries: int,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Plan:
    entry = {"name": "tuned", "strategy": strategy, "strategy_options": dict(options), "space": space}
    return Plan([entry], prompts, rewards, seeds, queries=queries, budgets=[queries], settings=settings)


def _try(plan_of: Any, folder: Path, here: str, options: dict[str, Any]) -> dict[str, Any]:
    """Run one set of options on every prompt, reward and seed, in a process of Ray."""
    import sys

    import torch

    from zo_dno.generators.quiet import quiet_libraries

    torch.set_num_threads(1)
    if here not in sys.path:
        sys.path.insert(0, here)
    plan = plan_of(options)
    own = folder / _name_of(plan)
    tried = [one for one in plan.trials if one.entry != BASELINE]
    with _turn(own), quiet_libraries(), closing(Trials(plan, own)) as trials:
        forget_failures(plan, own)
        gains = [trials.advance(one.number, plan.queries) for one in tried]
        failures = [failure(one.folder(own)) for one in tried]
    return {GAIN: sum(gains) / len(gains), _FAILED: failures[0] if all(failures) else None}


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until no other process runs the same set, which a searcher may propose twice at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".turn").open("w") as file:
        with suppress(OSError):  # of a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _name_of(plan: Plan) -> str:
    """Return the name of a set's folder: a digest of all that its runs depend on, but not of how far they go.

    More seeds are more runs in the same folder. So are more queries where the strategy plans for as many as before.
    What a resumed run may change, such as a cap on the money or the number of workers, makes no other runs either.
    """
    settings = plan.to_dict() | {"horizon": plan.settings.get("horizon") or plan.queries}
    fixed = {name: value for name, value in settings.items() if name not in _NOT_OF_THE_RUNS}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _failure_of(tried: Any) -> str | None:
    """Return why none of a set's runs has a result; None if one has."""
    if tried.metrics and GAIN in tried.metrics:
        failed: str | None = tried.metrics[_FAILED]
        return failed
    return "it was stopped" if tried.error is None else reason_of(tried.error)


def _first(name: str, values: Any) -> Any:
    if isinstance(values, list) and values:
        return values[0]
    if isinstance(values, tuple) and len(values) == 2 and values[0] < values[1]:
        return values[0]
    raise InputError(f"range of {name} must be (low, high) or a list of choices; got {values!r}.")


def _domain(values: Any) -> Any:
    from ray import tune as ray_tune

    if isinstance(values, list):
        return ray_tune.choice(values)
    low, high = values
    wide = 0 < 10 * low < high
    if isinstance(low, int) and isinstance(high, int):
        return ray_tune.lograndint(low, high + 1) if wide else ray_tune.randint(low, high + 1)
    return ray_tune.loguniform(low, high) if wide else ray_tune.uniform(low, high)


def _searcher(name: str, seed: int) -> Any:
    if name == "nevergrad":
        import nevergrad

        return nevergrad_search(nevergrad.optimizers.registry["TwoPointsDE"], seed)
    if name == "optuna":
        try:
            from ray.tune.search.optuna import OptunaSearch

            return OptunaSearch(seed=seed)
        except (ImportError, AssertionError) as error:
            raise InputError("searcher optuna needs Optuna, which is not installed: pip install optuna") from error
    from ray.tune.search.basic_variant import BasicVariantGenerator

    return BasicVariantGenerator(random_state=seed)
