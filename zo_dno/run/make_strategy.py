"""Strategies and search spaces from names, classes and options."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import text_of
from zo_dno.registry import checked_options, line_of, load
from zo_dno.run.make_reward import name_of
from zo_dno.spaces import DEFAULT_SPACE, SPACES
from zo_dno.spaces.in_space import in_space
from zo_dno.spaces.near import Near, middle
from zo_dno.spaces.space import SearchSpaceFactory
from zo_dno.strategies import STRATEGIES
from zo_dno.strategy import Asynchronous, Problem, Strategy
from zo_dno.types import Generator

_GIVEN_BY_THE_RUN = ("problem",)
_GIVEN_TO_SPACES = ("noise", "start", "seed", "k")


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
    surrogate: bool = False,
    near: Tensor | None = None,
    distance: float = 0.0,
    rewards: int = 1,
    diverse: int = 0,
    measures: int = 0,
) -> Strategy:
    """Build a strategy for the noise of a generator, or for a search space in it.

    Args:
        strategy: Name from `zo-dno list`, "package.module:name", or a class.
        generator: Generator whose noise is searched.
        horizon: Planned number of scores.
        seed: Seed of the run.
        init: Noise (d,) to start from; None draws it.
        options: Options of the strategy, by name.
        space: Name of the search space.
        space_options: Options of the search space, by name.
        lag: Number of earlier populations that may lack scores when the next is asked for.
        noisy: Whether the same noise may get another score.
        surrogate: Whether a strategy that chooses another one is to choose a surrogate.
        near: Liked noise (n, d) to stay near; None searches the space.
        distance: Share of fresh noise in candidates near liked noise, from 0 to 1.
        rewards: Number of rewards whose front is searched.
        diverse: Number of members of the diverse set that is searched; 0 where there is none.
        measures: Number of measures of which the best candidate of every cell is searched.
    Raises:
        InputError: A name or an option does not fit, `init` is not noise of this generator, or the strategy needs
            every score before it proposes the next population.
    """
    noise = generator.layout
    target, checked = find_strategy(strategy, options)
    factory = None if space == DEFAULT_SPACE else find_space(space, space_options or {})
    if near is not None:
        if factory is not None or init is not None:
            both = "init" if factory is None else f"space={space}"
            raise InputError(f"near must be left out with {both}: candidates stay near the liked noise. Leave one out.")
        factory, init = partial(Near, liked=near, distance=distance), middle(near, noise)
    problem = Problem(
        noise.d, horizon, seed, noise.sizes, init, None, lag, noisy, surrogate, rewards, diverse, measures
    )
    build: Callable[[Problem], Strategy] = partial(target, **checked)
    try:
        made = build(problem) if factory is None else in_space(problem, noise, factory, build)
    except ZoDnoError:
        raise
    except Exception as error:
        where = line_of(error)
        raise InputError(
            f"strategy {name_of(strategy)!r} must be a class that is built with a zo_dno.Problem and options; it "
            f"raised {text_of(error)}{where and f' ({where})'}."
        ) from error
    if not isinstance(made, Strategy):
        raise InputError(
            f"strategy {name_of(strategy)!r} must have ask, tell, state_dict and load_state_dict; got "
            f"{type(made).__name__}. Subclass zo_dno.strategies.base.PopulationStrategy."
        )
    if lag and (made.lag if isinstance(made, Asynchronous) else 0) != lag:
        raise InputError(f"lag must be 0 with {name_of(strategy)}, which declares none; got {lag}.")
    return made


def find_strategy(
    strategy: str | Callable[..., Strategy], options: Mapping[str, Any]
) -> tuple[Callable[..., Strategy], dict[str, Any]]:
    """Turn a name or a class, and options, into a class and checked options.

    Raises:
        InputError: The name or an option is unknown, or an option's value does not fit.
    """
    name = name_of(strategy)
    target = load("strategy", STRATEGIES, strategy) if isinstance(strategy, str) else strategy
    return target, checked_options(name, target, options, internal=_GIVEN_BY_THE_RUN)


def find_space(name: str, options: Mapping[str, Any]) -> SearchSpaceFactory:
    """Turn the name of a search space, and options, into a factory.

    Raises:
        InputError: The name or an option is unknown, or an option's value does not fit.
    """
    target = load("space", SPACES, name)
    return partial(target, **checked_options(name, target, options, internal=_GIVEN_TO_SPACES))
