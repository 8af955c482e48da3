"""`optimize`, the public way to run a search from Python."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zo_dno import baseline as best_of_n
from zo_dno.archive import Archive
from zo_dno.budget import Budget
from zo_dno.errors import InputError, RunError
from zo_dno.ledger import Ledger
from zo_dno.objective import DEFAULT_LEVEL, Objective
from zo_dno.oracle import Oracle, ask
from zo_dno.parts import make_reward, make_strategy, name_of
from zo_dno.pool import RewardPool
from zo_dno.result import Baseline, Result
from zo_dno.reward import Reward
from zo_dno.rng import stream_seed
from zo_dno.run_folder import RunFolder
from zo_dno.search import Search, Step
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategy import Problem, Strategy
from zo_dno.types import Generator, Score

log = logging.getLogger(__name__)


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
    threads: int | None = None,
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
        target: stop after the population in which a candidate that may win has this reward.
        init: (d,), a noise to start from, or the file or run folder that holds one.
        top: keep this many of the best images that differ from each other.
        baseline: queries of a best-of-N run to compare with; "equal" takes as many as the search had. With 0 it is
            estimated from the search's first population where that comes from the prior.
        threads: CPU threads to use, which are kept with the run since they may change the last bit of an image; by
            default as many as torch is set to.
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
    searcher = make_strategy(strategy, generator, queries, seed, init, strategy_options or {})
    if workers < 0:
        raise InputError(f"workers must be at least 0; got {workers}.")
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    folder = RunFolder(Path(out)) if out is not None else None
    if folder is not None:
        asked = {
            "reward": name_of(reward),
            "reward_options": dict(reward_options or scorer.settings),
            "held_out": [name_of(name) for name in held_out],
            "strategy": name_of(strategy),
            "strategy_options": dict(strategy_options or {}),
            "queries": queries,
            "seconds": seconds,
            "target": target,
            "baseline": baseline,
            "seed": seed,
            "gamma": gamma,
            "min_log_prob": min_log_prob,
            "init": str(init) if isinstance(init, str | Path) else None,
            "top": top,
            "workers": workers,
            "threads": threads,
        }
        folder.write_config(getattr(generator, "settings", {"model": name_of(generator)}) | asked)
    ledger, archive = Ledger(folder.ledger if folder else None), Archive(top)
    prompt = str(getattr(generator, "prompt", ""))
    with _asking(scorer, workers) as oracle:
        run = Search(
            generator, oracle, searcher, objective, budget, ledger, archive, prompt, target=target, on_step=on_step
        )
        run.run()
        if archive.best is None:
            raise _nothing_scored(run)
        compared = _baseline(run, searcher, baseline, seed)
    checked = {other.name: _held_out(other, archive, prompt) for other in others}
    result = _result(run, name_of(strategy), seed, checked, compared, folder)
    if folder is not None:
        folder.write(result, objective.threshold if objective.constrained else None)
    ledger.close()
    return result


@contextmanager
def _asking(reward: Reward, workers: int) -> Iterator[Oracle | RewardPool]:
    oracle = RewardPool(reward, workers) if workers else Oracle(reward)
    try:
        yield oracle
    finally:
        oracle.close()


def _baseline(run: Search, strategy: Strategy, n: int | Literal["equal"], seed: int) -> Baseline | None:
    n = run.queries if n == "equal" else n
    if n > 0 and run.status != "interrupted":
        return _best_of_n(run, n, seed)
    return best_of_n.estimated(run.ledger.queries()[: getattr(strategy, "n_prior", 0)], run.queries)


def _best_of_n(run: Search, n: int, seed: int) -> Baseline | None:
    from zo_dno.strategies.random_search import RandomSearch

    space = run.generator.space
    prior = RandomSearch(Problem(space.d, n, stream_seed(seed, "baseline"), space.sizes))
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


def _result(
    run: Search,
    strategy: str,
    seed: int,
    held_out: dict[str, tuple[float | None, float | None]],
    baseline: Baseline | None,
    folder: RunFolder | None,
) -> Result:
    first, best = run.archive.first, run.archive.best
    assert first is not None
    assert best is not None
    return Result(
        status=run.status,
        prompt=run.prompt,
        model=str(getattr(run.generator, "model", type(run.generator).__name__)),
        reward=run.oracle.reward.name,
        unit=run.oracle.reward.unit,
        strategy=strategy,
        seed=seed,
        queries=run.queries,
        nfe=run.queries * run.generator.nfe,
        failed_queries=run.failed,
        failures=dict(run.failures),
        first=first,
        best=best,
        top=tuple(run.archive.top),
        improvements=tuple(run.archive.improvements),
        history=tuple(run.ledger.queries()),
        held_out=held_out,
        seconds={name: run.seconds[name] for name in ("total", "generate", "score", "strategy", "other")},
        baseline=baseline,
        folder=folder.path if folder else None,
    )
