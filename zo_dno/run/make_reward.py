"""Rewards from names, functions and options, and the names that a config has for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zo_dno.errors import InputError, given
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.term import Term
from zo_dno.oracle.function_reward import SUBJECTS, FunctionReward, check_reward
from zo_dno.registry import checked_options, is_factory, load, made_by, options_of
from zo_dno.reward import Reward
from zo_dno.rewards import REWARDS
from zo_dno.rewards.combinations import Constrained


def make_reward(reward: str | Reward | Callable[..., Any], options: Mapping[str, Any] | None = None) -> Reward:
    """Turn a name, a class, a function or a Reward into a Reward, with the terms of a combination.

    Args:
        reward: Name from `zo-dno list`, "package.module:name", a class, a function or a Reward. A class, and a function
            that takes options alone, is called with the options, and returns a Reward or a function.
        options: Options of a name, a class or a function.
    Raises:
        InputError: The name or an option is unknown, options were given for something that takes none, or no reward
            can be made of it.
    """
    if options is not None and not isinstance(options, Mapping):
        raise InputError(f"options of a reward must be a mapping of names to values; got {given(options)}.")
    name = name_of(reward)
    found = load("reward", REWARDS, reward) if isinstance(reward, str) else reward
    given_options = dict(options or {})
    if isinstance(reward, str) and reward in REWARDS:
        made = found(**checked_options(name, found, given_options))
    elif isinstance(found, type) or is_factory(found, SUBJECTS, given_options):
        made, given_options = made_by("reward", name, found, given_options), {}
    else:
        made = found
    if not isinstance(made, Reward):
        own_name = name.rpartition(".")[2].rpartition(":")[2]
        function: Any = made
        made = FunctionReward(function, _name_in(made) or own_name, given_options)
    elif given_options and made is found:
        raise InputError(f"reward {name!r} takes no options; got {', '.join(given_options)}.")
    if isinstance(made, Combination):
        return made.bound(_made_term)
    check_reward(made)
    return made


def requiring(reward: Reward, require: Sequence[str] | None) -> Reward:
    """Return the reward with thresholds that a winner must meet, such as "prompt_match >= 0.9".

    Raises:
        InputError: A threshold cannot be read, names no reward, or can never be met.
    """
    if not require:
        return reward
    if isinstance(reward, Combination):
        return make_reward(replace(reward, require=[*map(str, reward.thresholds), *require]))
    return make_reward(Constrained(reward, require=require))


def rewards_in(reward: Reward) -> int:
    """Return the number of rewards whose front is searched, 1 where there is no front."""
    return max(1, len(reward.objectives)) if isinstance(reward, Combination) else 1


def name_of(named: Any) -> str:
    """Return the name that a config has for a reward, a strategy or a generator.

    Raises:
        InputError: A reward has no name, or an attribute of it has no such value.
    """
    if isinstance(named, str):
        return named
    if isinstance(named, Combination):
        return type(named).name
    if isinstance(named, Reward):
        check_reward(named)
        return named.name
    target = named if hasattr(named, "__qualname__") else type(named)
    return f"{target.__module__}:{target.__qualname__}"


def options_for_config(reward: Any, made: Reward, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options that make a reward again from its name: those given, or a Reward's own settings."""
    if isinstance(made, Combination):  # its terms may have been given as objects
        return made.settings
    return dict(options) if options else _own_options(made) if isinstance(reward, Reward) else {}


def _name_in(function: Any) -> str | None:
    """Return the attribute `name` of a function or an object, if it is text."""
    own = getattr(function, "name", None)
    return own if isinstance(own, str) else None


def _made_term(term: Term) -> Term:
    if term.made is not None:
        return term
    found = load("reward", REWARDS, term.given) if isinstance(term.given, str) else term.given
    if isinstance(found, Combination) or (isinstance(found, type) and issubclass(found, Combination)):
        raise InputError(f"parts must be single rewards; {term.name!r} is a combination. Name its terms instead.")
    made = make_reward(term.given, term.options)
    options = options_for_config(term.given, made, term.options)
    return replace(term, given=name_of(term.given), options=options, made=made)


def _own_options(made: Reward) -> dict[str, Any]:
    """Return a reward's settings; for rewards of this package, which hold no secrets, the other options as well."""
    given = dict(made.settings)
    if type(made).__module__.startswith("zo_dno.rewards."):
        for name in options_of(type(made)):
            if isinstance(getattr(made, name, given), str | int | float | None):
                given.setdefault(name, getattr(made, name))
    return given
