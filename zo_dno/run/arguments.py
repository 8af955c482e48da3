"""The Python arguments of `optimize` and `resume` that no option checks: objects, functions, files and mappings."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError, given
from zo_dno.reward import Reward
from zo_dno.run.cancellation import Stop
from zo_dno.surrogate.knowledge import Knowledge


def _is_path(value: Any) -> bool:
    return isinstance(value, str | PathLike)


def _is_noise(value: Any) -> bool:
    given = value if isinstance(value, list | tuple) else [value]
    return all(_is_path(one) or (isinstance(one, Tensor) and one.numel() > 0) for one in given)


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value.encode() or not value)
    except UnicodeEncodeError:  # half of a character, as from a cut file
        return False


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "strategy": (lambda value: isinstance(value, str) or callable(value), "the name or the class of a strategy"),
    "prompt": (_is_text, "text"),
    "out": (lambda value: _is_path(value) and "\0" not in str(value), "the path of a new folder"),
    "run": (_is_path, "the folder of a run"),
    "reward_options": (lambda value: isinstance(value, Mapping), "a mapping of names to values"),
    "strategy_options": (lambda value: isinstance(value, Mapping), "a mapping of names to values"),
    "init": (lambda value: _is_path(value) or isinstance(value, Tensor), "noise, a tensor (d,), or the path of a file"),
    "near": (_is_noise, "a run's folder, a file of noise, a tensor (d,), or a list of these"),
    "apart": (
        lambda value: isinstance(value, str) or callable(value),
        "the name of a distance, or a function of images",
    ),
    "surrogate": (lambda value: _is_path(value) or isinstance(value, Knowledge), "the path of a file, or its content"),
    "on_step": (callable, "a function of a zo_dno.Step"),
    "stop": (lambda value: isinstance(value, Stop), "a zo_dno.Stop"),
    "pools": (lambda value: hasattr(value, "actor_pools"), "actor pools of another run"),
}


def check_arguments(**arguments: Any) -> None:
    """Check arguments by their names; None is an argument that was not given, but for `strategy` and `run`.

    Raises:
        InputError: One is of another kind.
    """
    for name, value in arguments.items():
        fits, expected = _RULES[name]
        if not fits(value) and (value is not None or name in ("strategy", "run")):
            raise InputError(f"{name} must be {expected}; got {given(value)}.")


def as_several(near: Any) -> list[Any]:
    """Return liked noise as a list, also a single one and the rows of a tensor (n, d)."""
    if isinstance(near, Tensor):
        return [*near] if near.ndim == 2 else [near]
    return [*near] if isinstance(near, list | tuple) else [near]


def as_rewards(held_out: Any) -> list[Any]:
    """Return held-out rewards as a list, also a single one.

    Raises:
        InputError: It is no list of rewards.
    """
    if isinstance(held_out, str | Reward) or callable(held_out):
        return [held_out]
    if not isinstance(held_out, list | tuple):
        raise InputError(f"held_out must be a list of rewards, such as ['brightness']; got {given(held_out)}.")
    return list(held_out)
