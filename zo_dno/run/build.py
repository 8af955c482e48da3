"""From names, functions and options to the parts of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import Takes
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.imported import imported_generator, names_python
from zo_dno.generators.loading import BUILTIN, SPEED_OPTIONS
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.term import Term
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.registry import checked_options, load, options_of
from zo_dno.reward import Reward
from zo_dno.rewards import REWARDS
from zo_dno.rewards.combinations import Constrained
from zo_dno.run.config import GRADIENT_OPTIONS, OF_PIPELINES, RunConfig, validated
from zo_dno.spaces import DEFAULT_SPACE, SPACES
from zo_dno.spaces.in_space import in_space
from zo_dno.spaces.space import SearchSpaceFactory
from zo_dno.strategies import STRATEGIES
from zo_dno.strategy import Asynchronous, Problem, Strategy
from zo_dno.types import Generator

_GIVEN_BY_THE_RUN = ("problem",)


def make_reward(reward: str | Reward | Callable[..., Any], options: Mapping[str, Any] | None = None) -> Reward:
    """Turn a name, a class, a function or a Reward into a Reward, a combination's parts included.

    Raises:
        InputError: the name or an option is unknown, or options were given for something that takes none.
    """
    name = name_of(reward)
    found = load("reward", REWARDS, reward) if isinstance(reward, str) else reward
    if isinstance(found, type):
        made: Reward = found(**checked_options(name, found, options or {}))
    elif options:
        raise InputError(f"reward {name!r} takes no options; got {', '.join(options)}.")
    else:
        own_name = name.rpartition(".")[2].rpartition(":")[2]
        made = found if isinstance(found, Reward) else FunctionReward(found, own_name)
    return made.bound(_made_term) if isinstance(made, Combination) else made


def requiring(reward: Reward, require: Sequence[str] | None) -> Reward:
    """Let only images win that meet thresholds, such as "prompt_match >= 0.9".

    Raises:
        InputError: one cannot be read, names no reward, or can never be met.
    """
    if not require:
        return reward
    if isinstance(reward, Combination):
        return make_reward(replace(reward, require=[*map(str, reward.thresholds), *require]))
    return make_reward(Constrained(reward, require=require))


def _made_term(term: Term) -> Term:
    if term.made is not None:
        return term
    made = make_reward(term.given, term.options)
    if isinstance(made, Combination):
        raise InputError(f"parts must be single rewards; {term.name!r} is a combination. Name its parts instead.")
    options = options_for_config(term.given, made, term.options)
    return replace(term, given=name_of(term.given), options=options, made=made)


_GIVEN_TO_SPACES = ("noise", "start", "seed", "k")


def find_strategy(
    strategy: str | Callable[..., Strategy], options: Mapping[str, Any]
) -> tuple[Callable[..., Strategy], dict[str, Any]]:
    """Turn a name or a class, and options, into a class and checked options.

    Raises:
        InputError: the name or an option is unknown, or an option's value does not fit.
    """
    name = name_of(strategy)
    target = load("strategy", STRATEGIES, strategy) if isinstance(strategy, str) else strategy
    return target, checked_options(name, target, options, internal=_GIVEN_BY_THE_RUN)


def name_of(term: Any) -> str:
    """Name a reward, a strategy or a generator as a config does: of a table, or package.module:name."""
    if isinstance(term, str):
        return term
    if isinstance(term, Reward):
        return type(term).name if isinstance(term, Combination) else term.name
    target = term if hasattr(term, "__qualname__") else type(term)
    return f"{target.__module__}:{target.__qualname__}"


def make_strategy(
    strategy: str | Callable[..., Strategy],
    generator: Generator,
    horizon: int,
    seed: int,
    init: Tensor | None,
    options: Mapping[str, Any],
    space: str = DEFAULT_SPACE,
    space_options: Mapping[str, Any] | None = None,
    lag: int = 0,
    noisy: bool = False,
) -> Strategy:
    """Build a strategy for the noise of a generator, or for a space in it.

    Raises:
        InputError: the name or an option does not fit, `init` is not noise of this generator, or the strategy has to
            know every score before it proposes anything else.
    """
    noise = generator.layout
    target, checked = find_strategy(strategy, options)
    problem = Problem(noise.d, horizon, seed, noise.sizes, init, lag=lag, noisy=noisy)
    build: Callable[[Problem], Strategy] = partial(target, **checked)
    if space == DEFAULT_SPACE:
        made = build(problem)
    else:
        made = in_space(problem, noise, find_space(space, space_options or {}), build)
    if lag and (made.lag if isinstance(made, Asynchronous) else 0) != lag:
        raise InputError(f"lag must be 0 with {name_of(strategy)}, which declares none; got {lag}.")
    return made


def find_space(name: str, options: Mapping[str, Any]) -> SearchSpaceFactory:
    """Turn the name of a space, and options, into what makes it.

    Raises:
        InputError: the name or an option is unknown, or an option's value does not fit.
    """
    target = load("space", SPACES, name)
    return partial(target, **checked_options(name, target, options, internal=_GIVEN_TO_SPACES))


def options_for_config(reward: Any, made: Reward, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that make a reward again from its name: those given, or a Reward's own settings."""
    if isinstance(made, Combination):  # its parts may have been given as objects
        return made.settings
    return dict(options) if options else _own_options(made) if isinstance(reward, Reward) else {}


def _own_options(made: Reward) -> dict[str, Any]:
    """Return a reward's settings and, of ours, which hold nothing secret, how they are reached and what they cost."""
    given = dict(made.settings)
    if type(made).__module__.startswith("zo_dno.rewards."):
        for name in options_of(type(made)):
            if isinstance(getattr(made, name, given), str | int | float | None):
                given.setdefault(name, getattr(made, name))
    return given


def generator_from(config: Mapping[str, Any]) -> Generator:
    """Make the generator of a run's config.

    Raises:
        InputError: the run had a Python object that a config cannot name, or the model cannot be loaded.
    """
    model = str(config.get("model", BUILTIN))
    lost = InputError(
        f"generator must be given: the run's model was a Python object, {model}. Go on from Python with "
        "zo_dno.resume(folder, generator=...)."
    )
    if names_python(model) and "prompt" not in config:
        raise lost
    checked = validated(dict(config))
    try:
        return make_generator(checked)
    except InputError as error:
        if names_python(model) and "could not be imported" in str(error):
            raise lost from error
        raise


def make_generator(config: RunConfig) -> Generator:
    """Load the model of a config, here or in as many actors as it says."""
    if not config.generators:
        return load_model(config)
    return GeneratorPool(
        partial(load_model, config),
        config.generators,
        takes=Takes(config.generator_cpus, config.generator_gpus),
        threads=config.threads,
        address=config.ray,
        runtime_env=config.ray_env,
    )


def load_model(config: RunConfig, *, steps: int | None = None, like: DiffusersGenerator | None = None) -> Generator:
    """Load the model of a config here.

    Args:
        config: of the run.
        steps: overrides its number of steps, and searches the initial noise alone.
        like: a generator of the same model, whose pipeline is used instead of loading another.
    Raises:
        InputError: it cannot be loaded, or does not have what the config sets.
    """
    if names_python(config.model):
        return _imported(config, steps)
    arguments = {
        "steps": steps or config.steps,
        "guidance_scale": config.guidance,
        "search": "initial" if steps else config.search,
        "batch_size": config.batch_size,
        "seed": config.seed if config.generator_seed is None else config.generator_seed,
        **({} if config.frames is None else {"frames": config.frames}),
        **{name: getattr(config, name) for name in SPEED_OPTIONS},
        **{name: value for name in GRADIENT_OPTIONS if (value := getattr(config, name)) is not None},
        **config.call_arguments,
    }
    if like is not None:
        return like.with_settings(config.prompt, **arguments)
    if config.model == BUILTIN:
        return DiffusersGenerator.builtin(config.prompt, **arguments)
    return DiffusersGenerator(config.model, config.prompt, **arguments)


def _imported(config: RunConfig, steps: int | None) -> Generator:
    given = [name for name in OF_PIPELINES if getattr(config, name) not in (None, False)] + (["steps"] if steps else [])
    if given:
        raise InputError(f"{given[0]} is for diffusers pipelines; {config.model} decides it itself. Leave it out.")
    size = config.batch_size if "batch_size" in config.model_fields_set else None
    if size == "auto":
        raise InputError(f"batch_size must be a number for {config.model}; got 'auto'.")
    return imported_generator(config.model, config.prompt, size, config.generator_options)
