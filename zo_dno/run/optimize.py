"""`optimize` and `resume`, the public way to run a search from Python."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zo_dno.call_policy import CallPolicy
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.distributed.reward_actors import Pools
from zo_dno.errors import InputError
from zo_dno.generators.given import as_generator
from zo_dno.ipython import in_notebook
from zo_dno.results.progress_cell import ProgressCell
from zo_dno.results.result import Result
from zo_dno.reward import Reward
from zo_dno.rng import stream
from zo_dno.run.arguments import as_rewards, as_several, check_arguments
from zo_dno.run.cancellation import Stop
from zo_dno.run.config import as_recorded, checked_changes, flattened, with_current_names
from zo_dno.run.decisions import is_noisy, with_decisions
from zo_dno.run.distance import check_distance
from zo_dno.run.diverse import check_apart
from zo_dno.run.make_generator import generator_from
from zo_dno.run.make_reward import make_reward, name_of, options_for_config, requiring, rewards_in
from zo_dno.run.make_strategy import make_strategy
from zo_dno.run.measures import check_measures, measuring
from zo_dno.run.options import GENERATOR_ACTORS, Budget, Cluster, Output, RunOptions
from zo_dno.run.probe import check_generator
from zo_dno.run.session import carry_out
from zo_dno.run.several_rewards import FRONT, as_one
from zo_dno.run.spec import RunSpec
from zo_dno.run.transfer import known_before
from zo_dno.search.progress import Step
from zo_dno.spaces.near import middle
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.noise_files import checked_noise, load_noise, load_several
from zo_dno.storage.run_folder import CONFIG, INIT_FILE, KNOWLEDGE_FILE, NEAR_FILE, RunFolder, check_is_run
from zo_dno.storage.signature import check_trusted
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategy import Strategy
from zo_dno.surrogate.knowledge import Knowledge
from zo_dno.types import Described, Generator, Score

AnyReward = str | Reward | Callable[..., Sequence[float | Score]]


def optimize(
    generator: Generator | Any,
    reward: AnyReward | Sequence[AnyReward],
    strategy: str | Callable[..., Strategy] = DEFAULT_STRATEGY,
    *,
    prompt: str | None = None,
    queries: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    reward_options: Mapping[str, Any] | None = None,
    strategy_options: Mapping[str, Any] | None = None,
    require: Sequence[str] | str | None = None,
    held_out: Sequence[Any] | AnyReward = (),
    init: Tensor | str | Path | None = None,
    near: Sequence[Tensor | str | Path] | Tensor | str | Path = (),
    surrogate: Knowledge | str | Path | None = None,
    apart: str | Callable[..., Any] | None = None,
    budget: Budget | Mapping[str, Any] | None = None,
    policy: CallPolicy | Mapping[str, Any] | None = None,
    cluster: Cluster | Mapping[str, Any] | None = None,
    output: Output | Mapping[str, Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Stop | None = None,
    pools: Pools | None = None,
    **options: Any,
) -> Result:
    """Search the noise of a generator for images with a high reward.

    Args:
        generator: Black box z -> images, such as `DiffusersGenerator.builtin(prompt=...)`; a loaded pipeline of
            diffusers; a function z -> images with an attribute `shape`; or an ONNX session or file.
        reward: Name from `zo-dno list`, "package.module:name", a Reward, or a function (images, prompts) -> scores; a
            list of them is searched for its front (docs/fronts.md).
        strategy: Name from `zo-dno list`, "package.module:name", or a strategy class.
        prompt: Prompt to render; by default the generator's own. A pipeline that takes one needs it.
        queries: Number of queries in all, those served from the cache included; 512 by default.
        seed: Seed of all random numbers of the search.
        out: New folder for pictures, noise, ledger and result. A run that ends early can be resumed from it.
        reward_options: Options of the reward, by name.
        strategy_options: Options of the strategy, by name.
        require: Thresholds that a winner must meet, such as ["prompt_match >= 0.9"]; see docs/rewards.md.
        held_out: Rewards that score only the first image and the winner.
        init: Noise (d,) to start from, or the file or run folder that holds one.
        near: Liked noise to stay near, as tensors (d,), run folders or files of noise: candidates mix it with the share
            `distance` of fresh noise, or "ask" to let a rater choose it (docs/spaces.md).
        surrogate: File of what the strategy `surrogate` learned on earlier prompts, read at the start if it exists, and
            added to at the end; or its content, which is read alone.
        apart: Distance by which the images of `diverse` differ: a name, "package.module:name", or a function of images
            (n, 3, H, W) that gives vectors, or of two batches of them that gives distances (docs/diverse.md).
        budget: Limits of the run: queries, denoiser calls, seconds, money, or a reward to reach.
        policy: Changes to the reward's call policy: a `CallPolicy`, whose given fields count, or a mapping.
        cluster: Ray actors that score and render.
        output: Options of what is kept, and the number of CPU threads.
        on_step: Function that is called with the progress after every population; by default a notebook
            shows it in its cell.
        stop: Handle that ends the run from another thread, as Ctrl-C does.
        pools: Actors that several runs share.
        **options: Any other option of a run, by the name that it has in YAML and on the command line
            (docs/options.md), such as gamma, min_log_prob, space, baseline, repeats, screen or lag.
    Raises:
        InputError: An argument does not fit; nothing was run or written.
        RunError: No query was scored. The folder holds what there is.
    """
    check_arguments(strategy=strategy, prompt=prompt, out=out, reward_options=reward_options)
    check_arguments(strategy_options=strategy_options, init=init, near=near, surrogate=surrogate)
    check_arguments(on_step=on_step, stop=stop, pools=pools, apart=apart)
    one, reward_options = _one_of(reward, reward_options, options.pop("front", None))
    scorer = make_reward(one, reward_options)
    others_given = as_rewards(held_out)
    given: dict[str, Any] = {
        "reward": name_of(one),
        "strategy": name_of(strategy),
        "reward_options": options_for_config(one, scorer, reward_options),
        "strategy_options": dict(strategy_options or {}),
        "require": require or None,
        "held_out": [name_of(name) for name in others_given],
        "seed": seed,
        "init": str(init) if isinstance(init, str | Path) else None,
        "near": [str(one) for one in as_several(near) if isinstance(one, str | Path)],
        "surrogate": str(surrogate) if isinstance(surrogate, str | Path) else None,
        **({} if apart is None else {"apart": name_of(apart)}),
        **({} if policy is None else {"policy": policy}),
        **({} if queries is None else {"queries": queries}),
        **{name: value for name, value in options.items() if value is not None or name == "min_log_prob"},
    }
    checked = RunOptions(
        **with_current_names(flattened({**given, "budget": budget, "cluster": cluster, "output": output}))
    )
    generator = as_generator(generator, prompt)
    made_already = next((name for name in GENERATOR_ACTORS if name in checked.model_fields_set), None)
    if made_already is not None:
        raise InputError(
            f"{made_already} must be left out with a generator that is made already; got "
            f"{getattr(checked, made_already)}. Pass a zo_dno.GeneratorPool as the generator."
        )
    settled = {"horizon": checked.horizon or checked.queries, "threads": checked.threads or torch.get_num_threads()}
    required = requiring(scorer, checked.require)
    liked = load_several(as_several(near), "near") if as_several(near) else None
    if liked is None and checked.distance != RunOptions.model_fields["distance"].default:
        raise InputError(f"distance must come with near, the liked noise; got {checked.distance} alone.")
    checked = with_decisions(checked.model_copy(update=settled), required, generator, near=liked is not None)
    if init is not None:
        init = load_noise(Path(init), "init") if isinstance(init, str | Path) else checked_noise(init, "init")
    others, known = [make_reward(one) for one in others_given], known_before(surrogate, required)
    spec = _spec(checked, generator, scorer, others, strategy, init, liked, on_step, stop, pools, known, apart)
    if out is not None:
        RunFolder.check(Path(out))
    start = torch.randn(generator.layout.d, generator=stream(checked.seed, "start")) if init is None else init
    if liked is not None:
        start = middle(liked, generator.layout)
    check_generator(generator, start, checked.seed)
    check_apart(spec)
    check_measures(spec)
    if out is None:
        return carry_out(spec)
    with RunFolder(Path(out)) as folder, folder.nothing_left_by_mistakes():
        for name, z in ((INIT_FILE, init), (NEAR_FILE, liked)):
            if z is not None:
                folder.write_given(name, z)
        if spec.knowledge is None:
            (folder.path / KNOWLEDGE_FILE).unlink(missing_ok=True)  # of a run that was killed before its config
        else:
            spec.knowledge.write(folder.path / KNOWLEDGE_FILE)
        return carry_out(spec, folder)


def resume(
    run: str | Path,
    *,
    accept_drift: bool = False,
    retry_failed: bool = False,
    trust: bool = False,
    generator: Generator | Any | None = None,
    reward: AnyReward | Sequence[AnyReward] | None = None,
    strategy: Callable[..., Strategy] | None = None,
    held_out: Sequence[Any] | AnyReward | None = None,
    apart: Callable[..., Any] | None = None,
    reward_options: Mapping[str, Any] | None = None,
    on_step: Callable[[Step], None] | None = None,
    stop: Stop | None = None,
    pools: Pools | None = None,
    **changes: Any,
) -> Result:
    """Resume a run that was stopped, paused or killed, or spend a larger budget on a finished one.

    The end is the same, bit for bit, as if the run had never stopped. No recorded score is requested again.

    Args:
        run: Folder of the run.
        accept_drift: Whether to resume although the recorded beginning cannot be repeated exactly (another version of a
            library, another processor, an edited config). The run continues by replay if the strategy still proposes
            the same noise, else from the snapshot that runs with a price keep. The result says so.
        retry_failed: Whether queries that got no score are sent again, as after a bug of the reward was mended. Their
            candidates may then win; the strategy is told nothing of them.
        trust: Whether to run code that the config of another user's folder names.
        generator: Generator of a run whose config cannot name it, since it was a Python object.
        reward: Reward of such a run, or the list of its rewards.
        strategy: Strategy of such a run.
        held_out: Held-out rewards of such a run.
        apart: Distance of images of such a run.
        reward_options: Options of the reward that get other values, by name, while nothing has a score yet.
        on_step: Function that is called with the progress after every population.
        stop: Handle that ends the run from another thread, as Ctrl-C does.
        pools: Actors that several runs share.
        **changes: Options with other values than the run had, or the groups `budget`, `cluster` and `output`: such as
            queries, nfe, seconds and max_cost (in all, earlier sessions included), workers, generators or ray. Only
            those that docs/options.md marks as changeable; the strategy keeps its horizon.
    Raises:
        InputError: The folder holds no run, is in use or damaged, or what is resumed would not be the same run.
        RunError: No query was scored.
    """
    check_arguments(run=run, on_step=on_step, stop=stop, pools=pools, apart=apart, reward_options=reward_options)
    path = Path(run)
    check_is_run(path)
    recorded = as_recorded(read_yaml(path / CONFIG))
    given = {"model": generator, "reward": reward, "strategy": strategy, "held_out": held_out, "apart": apart}
    named = None if held_out is None else [name_of(one) for one in as_rewards(held_out)]
    changed = checked_changes({**changes, "held_out": named})
    replaced = [*changed, *(name for name, one in given.items() if one is not None)]
    check_trusted(path, recorded, trust=trust, without=replaced)
    config = recorded | changed
    replaced_by: Any = reward
    if isinstance(reward, list | tuple):
        own = {key: value for key, value in (config.get("reward_options") or {}).items() if key != "parts"}
        one, own = _one_of(reward, own, front=config.get("reward") == FRONT)
        replaced_by = make_reward(one, own)
    if reward_options:
        config["reward_options"] = (config.get("reward_options") or {}) | dict(reward_options)
    options = RunOptions(**{name: value for name, value in config.items() if name in RunOptions.model_fields})
    torch.set_num_threads(options.threads or torch.get_num_threads())
    given_options = {} if isinstance(replaced_by, Reward) else options.reward_options
    scorer = make_reward(options.reward if replaced_by is None else replaced_by, given_options)
    others = [make_reward(one) for one in as_rewards(options.held_out if held_out is None else held_out)]
    noise = load_noise(path / INIT_FILE) if (path / INIT_FILE).exists() else None
    liked = load_noise(path / NEAR_FILE, ndim=2) if (path / NEAR_FILE).exists() else None
    with ExitStack() as stack:
        if generator is None:
            model = stack.enter_context(closed_after(generator_from(config)))
        else:
            model = as_generator(generator, config.get("prompt"))
        known = known_before(path / KNOWLEDGE_FILE, requiring(scorer, options.require))
        spec = _spec(
            *(options, model, scorer, others, strategy or options.strategy, noise, liked, on_step, stop, pools, known),
            apart,
        )
        folder = stack.enter_context(RunFolder(path, new=False))
        return carry_out(spec, folder, accept_drift=accept_drift, retry_failed=retry_failed)


def _one_of(reward: Any, options: Mapping[str, Any] | None, front: bool | None) -> tuple[Any, dict[str, Any]]:
    try:
        return as_one(reward, options, front)
    except ValueError as error:
        raise InputError(str(error)) from error


def _spec(
    options: RunOptions,
    generator: Generator,
    reward: Reward,
    held_out: list[Reward],
    strategy: str | Callable[..., Strategy],
    init: Tensor | None,
    near: Tensor | None,
    on_step: Callable[[Step], None] | None,
    stop: Stop | None,
    pools: Pools | None,
    knowledge: Knowledge | None,
    apart: str | Callable[..., Any] | None,
) -> RunSpec:
    torch.set_num_threads(options.threads or torch.get_num_threads())
    reward = measuring(requiring(reward, options.require), options.measures)
    horizon = (options.horizon or options.queries) * max(1, options.screen or 0)  # what the strategy will be told
    searched = (options.strategy_options, options.space, options.space_options, options.lag)
    build = partial(
        make_strategy,
        *(strategy, generator, horizon, options.seed, init, *searched),
        noisy=is_noisy(reward, options),
        surrogate=bool(options.climb),
        near=near,
        distance=check_distance(options.distance, reward),
        rewards=rewards_in(reward),
        diverse=options.diverse or 0,
        measures=len(options.measures),
    )
    settings = dict(generator.settings) if isinstance(generator, Described) else {"model": name_of(generator)}
    own = None if isinstance(apart, str) else apart
    if on_step is None and in_notebook():
        on_step = ProgressCell().step
    return RunSpec(options, generator, reward, held_out, build, settings, on_step, stop, pools, knowledge, own, near)
