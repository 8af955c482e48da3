"""`optimize`, the public way to run a search from Python."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from zo_dno import baseline as best_of_n
from zo_dno.archive import Archive
from zo_dno.budget import Budget
from zo_dno.callables import FunctionReward
from zo_dno.errors import InputError, RunError
from zo_dno.ledger import Ledger
from zo_dno.objective import DEFAULT_LEVEL, Objective
from zo_dno.oracle import Oracle, ask
from zo_dno.pool import RewardPool
from zo_dno.result import Baseline, Result
from zo_dno.reward import Reward
from zo_dno.rewards import REWARDS
from zo_dno.rng import stream_seed
from zo_dno.run_folder import RunFolder, load_noise
from zo_dno.search import Search, Step
from zo_dno.strategies import STRATEGIES
from zo_dno.strategy import Strategy
from zo_dno.tables import checked_options, load
from zo_dno.types import Generator, Score

log = logging.getLogger(__name__)

DEFAULT_STRATEGY = "snes"
_GIVEN_BY_THE_RUN = ("d", "horizon", "seed", "sizes", "init")


def optimize(
    generator: Generator,
    reward: str | Reward | Callable[..., Sequence[float | Score]],
    strategy: str | Callable[..., Strategy] = DEFAULT_STRATEGY,
    *,
    queries: int = 512,
    seconds: float | None = None,
    seed: int = 0,
    gamma: float = 0.0,
    min_log_prob: float | str | None = DEFAULT_LEVEL,
    out: str | Path | None = None,
    strategy_options: Mapping[str, Any] | None = None,
    reward_options: Mapping[str, Any] | None = None,
    held_out: Sequence[Any] = (),
    workers: int = 0,
    target: float | None = None,
    init: Tensor | str | Path | None = None,
    top: int = 1,
    baseline: int | Literal["equal"] = 0,
    config: Mapping[str, Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Result:
    """Search the noise of a generator for images that a reward likes.

    Args:
        generator: the black box, such as `DiffusersGenerator.builtin(prompt=...)`.
        reward: a name from `zo-dno list`, "package.module:name", a Reward, or a function (images, prompts) -> scores.
        strategy: a name from `zo-dno list`, "package.module:name", or a strategy class.
        queries: rewards to ask for.
        seconds: wall-clock time to search for; the population under way is finished.
        seed: of every random number of the search.
        gamma: weight of the Gaussian regulariser in the objective, in reward units per nat.
        min_log_prob: smallest log P(z) of a winner, as a number or a level of true Gaussian draws such as "1%".
        out: a new folder for pictures, noise, ledger and result.
        strategy_options: of the strategy, by name.
        reward_options: of the reward, by name.
        held_out: rewards that are asked only about the first image and the winner.
        workers: Ray actors to ask the reward in; 0 asks it in this process.
        target: stop as soon as a candidate that may win has this reward.
        init: (d,), a noise to start from, or the file or run folder that holds one.
        top: keep this many of the best images that differ from each other.
        baseline: queries of a best-of-N run to compare with; "equal" takes as many as the search had. With 0 it is
            estimated from the search's first population where that comes from the prior.
        config: what to write into the run folder as its config.yaml.
        on_step: called with the progress after every population.
    Raises:
        InputError: an argument does not fit; nothing was run or written.
        RunError: no query was scored. The folder holds what there is.
    """
    if top < 1:
        raise InputError(f"top must be at least 1; got {top}.")
    if baseline != "equal" and baseline < 0:
        raise InputError(f"baseline must be at least 0; got {baseline}.")
    budget = Budget(queries, seconds)
    scorer = make_reward(reward, reward_options)
    others = [make_reward(name) for name in held_out]
    objective = Objective(generator.space, gamma=gamma, min_log_prob=min_log_prob, seed=seed)
    searcher = _make_strategy(strategy, generator, queries, seed, init, strategy_options or {})
    if workers < 0:
        raise InputError(f"workers must be at least 0; got {workers}.")
    folder = RunFolder(Path(out)) if out is not None else None
    if folder is not None and config is not None:
        folder.write_config(dict(config))
    ledger, archive = Ledger(folder.ledger if folder else None), Archive(top)
    prompt = str(getattr(generator, "prompt", ""))
    with _asking(scorer, workers) as oracle:
        run = Search(
            generator, oracle, searcher, objective, budget, ledger, archive, prompt, target=target, on_step=on_step
        )
        run.run()
        if archive.best is None or archive.first is None:
            raise _nothing_scored(run)
        n_baseline = run.queries if baseline == "equal" else baseline
        measure = n_baseline > 0 and run.status != "interrupted"
        compared = _best_of_n(run, n_baseline, seed) if measure else _estimate(run, searcher)
    checked = {other.name: _held_out(other, archive, prompt) for other in others}
    result = Result(
        status=run.status,
        prompt=prompt,
        model=str(getattr(generator, "model", type(generator).__name__)),
        reward=scorer.name,
        unit=scorer.unit,
        strategy=strategy if isinstance(strategy, str) else getattr(strategy, "__name__", repr(strategy)),
        seed=seed,
        queries=run.queries,
        nfe=run.queries * generator.nfe,
        failed_queries=run.failed,
        failures=dict(run.failures),
        first=archive.first,
        best=archive.best,
        top=tuple(archive.top),
        improvements=tuple(archive.improvements),
        history=tuple(ledger.queries()),
        held_out=checked,
        seconds={name: run.seconds[name] for name in ("total", "generate", "score", "strategy", "other")},
        baseline=compared,
        folder=folder.path if folder else None,
    )
    if folder is not None:
        folder.write(result, objective.threshold if objective.constrained else None)
    ledger.close()
    return result


def make_reward(reward: str | Reward | Callable[..., Any], options: Mapping[str, Any] | None = None) -> Reward:
    """Turn a name, a class, a function or a Reward into a Reward.

    Raises:
        InputError: the name or an option is unknown, or options were given for something that takes none.
    """
    name = reward if isinstance(reward, str) else getattr(reward, "__name__", type(reward).__name__)
    found = load("reward", REWARDS, reward) if isinstance(reward, str) else reward
    if isinstance(found, type):
        made: Reward = found(**checked_options(name, found, options or {}))
        return made
    if options:
        raise InputError(f"reward {name!r} takes no options; got {', '.join(options)}.")
    return found if isinstance(found, Reward) else FunctionReward(found, name.rpartition(":")[2])


def find_strategy(
    strategy: str | Callable[..., Strategy], options: Mapping[str, Any]
) -> tuple[Callable[..., Strategy], dict[str, Any]]:
    """Turn a name or a class, and options, into a class and checked options.

    Raises:
        InputError: the name or an option is unknown, or an option's value does not fit.
    """
    name = strategy if isinstance(strategy, str) else getattr(strategy, "__name__", repr(strategy))
    target = load("strategy", STRATEGIES, strategy) if isinstance(strategy, str) else strategy
    return target, checked_options(name, target, options, internal=_GIVEN_BY_THE_RUN)


def _make_strategy(
    strategy: str | Callable[..., Strategy],
    generator: Generator,
    horizon: int,
    seed: int,
    init: Tensor | str | Path | None,
    options: Mapping[str, Any],
) -> Strategy:
    space = generator.space
    target, checked = find_strategy(strategy, options)
    noise = load_noise(Path(init)) if isinstance(init, str | Path) else init
    if noise is not None and noise.shape != (space.d,):
        raise InputError(
            f"init must be noise of {space.d} entries; got {tuple(noise.shape)}. It was made for another model, size, "
            "number of steps or search space."
        )
    made: Strategy = target(space.d, horizon, seed, sizes=space.sizes, init=noise, **checked)
    return made


@contextmanager
def _asking(reward: Reward, workers: int) -> Iterator[Oracle | RewardPool]:
    oracle = RewardPool(reward, workers) if workers else Oracle(reward)
    try:
        yield oracle
    finally:
        oracle.close()


def _best_of_n(run: Search, n: int, seed: int) -> Baseline | None:
    from zo_dno.strategies.random_search import RandomSearch

    space = run.generator.space
    prior = RandomSearch(space.d, n, stream_seed(seed, "baseline"), sizes=space.sizes)
    objective, archive = run.objective, Archive()
    drawn = Search(
        run.generator,
        run.oracle,
        prior,
        objective,
        Budget(n),
        run.ledger,
        archive,
        run.prompt,
        stage="baseline",
        on_step=run.on_step,
    )
    drawn.run()
    return best_of_n.measured(run.ledger.queries("baseline"), constrained=objective.constrained)


def _estimate(run: Search, strategy: Strategy) -> Baseline | None:
    n_prior = getattr(strategy, "n_prior", 0)
    return best_of_n.estimated(run.ledger.queries()[:n_prior], run.queries)


def _held_out(reward: Reward, archive: Archive, prompt: str) -> tuple[float | None, float | None]:
    values: list[float | None] = []
    for found in (archive.first, archive.best):
        assert found is not None
        (score,) = ask(reward, found.image[None], [prompt])
        if score.missing:
            log.warning("held-out reward %s has no score for candidate %d: %s", reward.name, found.id, score.error)
        values.append(None if score.missing else score.value)
    return values[0], values[1]


def _nothing_scored(run: Search) -> RunError:
    if not run.queries:
        return RunError("The run ended before its first population was scored.")
    reason, count = run.failures.most_common(1)[0]
    return RunError(f"None of {run.queries} queries got a score. Most often ({count} times): {reason}")
