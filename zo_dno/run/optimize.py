"""`optimize` and `resume`, the public way to run a search from Python."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zo_dno.distributed.cluster import LOCAL
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.distributed.reward_actors import Pools
from zo_dno.ipython import in_notebook
from zo_dno.results.progress_cell import ProgressCell
from zo_dno.results.result import Result
from zo_dno.reward import Reward
from zo_dno.run.build import generator_from, make_reward, make_strategy, name_of, options_for_config, requiring
from zo_dno.run.cancellation import Stop
from zo_dno.run.config import with_current_names
from zo_dno.run.options import KEEP_IMAGES, Options, is_noisy, with_preselection
from zo_dno.run.session import Session
from zo_dno.run.spec import RunSpec
from zo_dno.search.loop import Step
from zo_dno.search.objective import DEFAULT_LEVEL, Gamma
from zo_dno.search.reranking import Repeats
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.run_folder import CONFIG, INIT_FILE, RunFolder, check_is_run, load_noise
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategy import Strategy
from zo_dno.types import Described, Generator, Score

AnyReward = str | Reward | Callable[..., Sequence[float | Score]]


def optimize(
    generator: Generator,
    reward: AnyReward,
    strategy: str | Callable[..., Strategy] = DEFAULT_STRATEGY,
    *,
    queries: int = 512,
    horizon: int | None = None,
    nfe: int | None = None,
    seconds: float | None = None,
    max_cost: float | None = None,
    seed: int = 0,
    gamma: Gamma = 0.0,
    min_log_prob: float | str | None = DEFAULT_LEVEL,
    out: str | Path | None = None,
    strategy_options: Mapping[str, Any] | None = None,
    space: str = DEFAULT_SPACE,
    space_options: Mapping[str, Any] | None = None,
    reward_options: Mapping[str, Any] | None = None,
    require: Sequence[str] | str | None = None,
    policy: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
    held_out: Sequence[Any] = (),
    workers: int = 0,
    worker_cpus: float = 1,
    worker_gpus: float = 0,
    worker_resources: Mapping[str, float] | None = None,
    ray: str = LOCAL,
    ray_env: Mapping[str, Any] | None = None,
    target: float | None = None,
    init: Tensor | str | Path | None = None,
    top: int = 1,
    keep_images: int = KEEP_IMAGES,
    baseline: int | Literal["equal"] = 0,
    repeats: Repeats | None = None,
    screen: int | None = None,
    lag: int = 0,
    threads: int | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Stop | None = None,
    pools: Pools | None = None,
) -> Result:
    """Search the noise of a generator for images that a reward likes.

    Args:
        generator: the black box, such as `DiffusersGenerator.builtin(prompt=...)`.
        reward: a name from `zo-dno list`, "package.module:name", a Reward, or a function (images, prompts) -> scores.
        strategy: a name from `zo-dno list`, "package.module:name", or a strategy class.
        queries: rewards to ask for. Remembered answers count.
        horizon: queries that the strategy plans for; by default `queries`.
        nfe: denoiser calls to spend.
        seconds: wall-clock time to search for; the population under way is finished.
        max_cost: money to spend, in the unit of the prices in `asking`, the baseline and held-out rewards included. No
            query is begun that could exceed it, whatever becomes of those under way.
        seed: of every random number of the search.
        gamma: weight of the Gaussian regulariser in the objective, in reward units per nat; "auto" follows how many
            candidates are plausible.
        min_log_prob: smallest log P(z) of a winner, as a number or a level of true Gaussian draws such as "1%".
        out: a new folder for pictures, noise, ledger and result. A run that ends early can be gone on with there.
        strategy_options: of the strategy, by name.
        space: what of the noise is searched, a name from `zo-dno list`; see docs/spaces.md.
        space_options: of the space, by name.
        reward_options: of the reward, by name.
        require: thresholds that a winner must meet, such as ["prompt_match >= 0.9"]; see docs/rewards.md.
        policy: changes to the terms that the reward is asked on, by the names of `zo_dno.CallPolicy`.
        cache: a file of answers that runs share.
        held_out: rewards that are asked only about the first image and the winner.
        workers: Ray actors to ask the reward in; 0 asks it in this process.
        worker_cpus: that each of them counts as; 0 lets any number share one.
        worker_gpus: that each of them has to itself, or a part of one.
        worker_resources: of a cluster's own that each of them takes, by name.
        ray: where the actors are: "local" starts a Ray of this run's own on this machine, "auto" takes the one that
            runs here, HOST:PORT or ray://HOST:PORT a cluster's.
        ray_env: Ray's runtime environment for the actors (docs/cluster.md).
        target: stop after the population in which a candidate that may win has this reward.
        init: (d,), a noise to start from, or the file or run folder that holds one.
        top: keep this many of the best images that differ from each other.
        keep_images: keep the image of every so-manieth candidate; of rewards with a price all are kept.
        baseline: queries of a best-of-N run to compare with; "equal" takes as many as the search had. With 0 it is
            estimated from the search's first population where that comes from the prior.
        repeats: of the queries, for asking a noisy judge again about the best; the winner is then the one with the best
            mean. "auto" keeps a fifth back, and gives the search what an exact judge does not need; that is the default
            of rewards that say that they are noisy.
        screen: images to draw for one query, where images are cheap and queries dear: the most promising are asked
            about, and the strategy is told guesses of the others (docs/strategies.md). 0 asks about all. By default 4
            with `auto` where `max_cost` says that queries are dear, and nothing that images are; else 0.
        lag: populations that need not be answered when the next is asked for, so that slow answers hold nobody up; the
            strategy then learns that much later (docs/strategies.md).
        threads: CPU threads to use, which are kept with the run since they may change the last bit of an image; by
            default as many as torch is set to.
        on_step: called with the progress after every population; by default a notebook's cell shows it.
        stop: called from another thread, ends the run as Ctrl-C does.
        pools: of actors, where several runs share them.
    Raises:
        InputError: an argument does not fit; nothing was run or written.
        RunError: no query was scored. The folder holds what there is.
    """
    scorer = make_reward(reward, reward_options)
    options = Options(
        reward=name_of(reward),
        strategy=name_of(strategy),
        reward_options=options_for_config(reward, scorer, reward_options),
        require=[require] if isinstance(require, str) else list(require or ()) or None,
        policy=dict(policy or {}),
        cache=None if cache is None else str(cache),
        held_out=[name_of(name) for name in held_out],
        strategy_options=dict(strategy_options or {}),
        space=space,
        space_options=dict(space_options or {}),
        queries=queries,
        horizon=queries if horizon is None else horizon,
        nfe=nfe,
        seconds=seconds,
        max_cost=max_cost,
        target=target,
        baseline=baseline,
        repeats=repeats,
        screen=screen,
        lag=lag,
        seed=seed,
        gamma=gamma,
        min_log_prob=min_log_prob,
        init=str(init) if isinstance(init, str | Path) else None,
        top=top,
        keep_images=keep_images,
        workers=workers,
        worker_cpus=worker_cpus,
        worker_gpus=worker_gpus,
        worker_resources=dict(worker_resources or {}),
        ray=ray,
        ray_env=None if ray_env is None else dict(ray_env),
        threads=threads or torch.get_num_threads(),
    )
    options = with_preselection(options, scorer)
    noise = load_noise(Path(init)) if isinstance(init, str | Path) else init
    spec = _spec(
        options, generator, scorer, [make_reward(one) for one in held_out], strategy, noise, on_step, stop, pools
    )
    if out is None:
        return Session(spec).run()
    with RunFolder(Path(out)) as folder:
        if noise is not None:
            folder.write_init(noise)
        return Session(spec, folder).run()


def resume(
    run: str | Path,
    *,
    queries: int | None = None,
    nfe: int | None = None,
    seconds: float | None = None,
    max_cost: float | None = None,
    workers: int | None = None,
    generators: int | None = None,
    ray: str | None = None,
    accept_drift: bool = False,
    generator: Generator | None = None,
    reward: AnyReward | None = None,
    strategy: Callable[..., Strategy] | None = None,
    held_out: Sequence[Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Stop | None = None,
    pools: Pools | None = None,
) -> Result:
    """Go on with a run that was stopped, paused or killed, or spend a larger budget on a finished one.

    The end is the same, bit for bit, as if it had never stopped. No score that arrived is asked for again.

    Args:
        run: its folder.
        queries: rewards to ask for in all; the strategy keeps its horizon.
        nfe: denoiser calls to spend in all.
        seconds: wall-clock time of all sessions together.
        max_cost: money to spend in all.
        workers: Ray actors to ask the reward in.
        generators: Ray actors to draw in, where the model can be loaded again from its name.
        ray: where the actors are.
        accept_drift: go on although the recorded beginning cannot be repeated exactly (another version of a library,
            another processor, an edited config): as it is where the strategy proposes the same noise, else from the
            snapshot that runs with a price keep. The result says so.
        generator: where the run had a Python object that its config cannot name.
        reward: likewise.
        strategy: likewise.
        held_out: likewise.
        on_step: called with the progress after every population.
        stop: called from another thread, ends the run as Ctrl-C does.
        pools: of actors, where several runs share them.
    Raises:
        InputError: the folder holds no run, is in use or damaged, or what goes on would not be the same run.
        RunError: no query was scored.
    """
    path = Path(run)
    check_is_run(path)
    config = with_current_names(read_yaml(path / CONFIG))
    budgets = {"queries": queries, "nfe": nfe, "seconds": seconds, "max_cost": max_cost}
    changes = {**budgets, "workers": workers, "generators": generators, "ray": ray}
    config |= {name: value for name, value in changes.items() if value is not None}
    known = {field.name for field in fields(Options)}
    options = Options(**{name: value for name, value in config.items() if name in known})
    torch.set_num_threads(options.threads or torch.get_num_threads())
    scorer = make_reward(options.reward if reward is None else reward, options.reward_options if reward is None else {})
    others = [make_reward(one) for one in (options.held_out if held_out is None else held_out)]
    noise = load_noise(path / INIT_FILE) if (path / INIT_FILE).exists() else None
    with ExitStack() as stack:
        model = stack.enter_context(closed_after(generator_from(config))) if generator is None else generator
        spec = _spec(options, model, scorer, others, strategy or options.strategy, noise, on_step, stop, pools)
        folder = stack.enter_context(RunFolder(path, new=False))
        return Session(spec, folder, accept_drift=accept_drift).run()


def _spec(
    options: Options,
    generator: Generator,
    reward: Reward,
    held_out: list[Reward],
    strategy: str | Callable[..., Strategy],
    init: Tensor | None,
    on_step: Callable[[Step], None] | None,
    stop: Stop | None,
    pools: Pools | None,
) -> RunSpec:
    torch.set_num_threads(options.threads or torch.get_num_threads())
    reward = requiring(reward, options.require)
    horizon = (options.horizon or options.queries) * max(1, options.screen or 0)  # what the strategy will be told
    searched = (options.strategy_options, options.space, options.space_options, options.lag)
    build = partial(
        make_strategy, strategy, generator, horizon, options.seed, init, *searched, is_noisy(reward, options)
    )
    settings = dict(generator.settings) if isinstance(generator, Described) else {"model": name_of(generator)}
    if on_step is None and in_notebook():
        on_step = ProgressCell().step
    return RunSpec(options, generator, reward, held_out, build, settings, on_step, stop, pools)
