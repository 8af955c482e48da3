"""Python functions as rewards."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, given
from zo_dno.registry import binding_of, checked_options, options_of, takes_any
from zo_dno.reward import Reward
from zo_dno.types import Score, is_count

SUBJECTS = ("images", "arrays", "image", "array")
"""Names of the parameter that takes the images."""
_ARRAYS = ("arrays", "array")


class FunctionReward(Reward):
    """A plain function (images, prompts) -> scores, or (images) -> scores, as a reward.

    Args:
        function: Function, or any object that can be called, of a sequence of PIL images and, if it has a second
            parameter without a default or one named `prompts`, a sequence of prompts. A first parameter named `arrays`
            gets what the generator returned, as NumPy arrays. It may be a coroutine function; then its `policy` says
            how many calls are in flight. Its attributes `batch`, `differentiable`, `noisy`, `policy`, `range`, `unit`
            and `version`, if it has them, become the reward's.
        name: Name in tables and results; by default the function's.
        options: Values of its other parameters, by name.
    Raises:
        InputError: It takes no images, an option does not fit, or an attribute has no such value.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[float | Score]],
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(f"reward must be a function of images and prompts; got {given(function)}.")
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self._function = function
        self._bound = binding_of(function, SUBJECTS, options or (), rest=("subject", "prompt"))
        self._options = _checked_options(self.name, function, self._bound.internal, options or {})
        self.takes_arrays = any(name in _ARRAYS for name in self._bound.internal)
        self._code = None if hasattr(function, "version") else _code(function)
        self.policy = getattr(function, "policy", getattr(function, "asking", CallPolicy()))
        check_attribute(self.name, "policy", self.policy)
        for own in _TAKEN:
            if hasattr(function, own):
                check_attribute(self.name, own, getattr(function, own))
                setattr(self, own, _as_attribute(own, getattr(function, own)))
        if not hasattr(function, "unit"):
            self.unit = "score"
        differentiable: Any = getattr(function, "differentiable", None)
        if differentiable is not None:
            self.differentiable = differentiable
        self.is_async = any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options of the function."""
        return self._options

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and options; without a version of its own, the function's source."""
        return super().identity | ({} if self._code is None else {"code": self._code})

    def __call__(self, images: Sequence[Any], prompts: Sequence[str]) -> Any:
        """Score images, each rendered for the prompt at the same index; an awaitable for a coroutine function."""
        return self._bound.call(self._function, images, prompts, self._options)


def check_reward(reward: Reward) -> None:
    """Check the attributes of a reward of the caller's.

    Raises:
        InputError: It has no name, or an attribute has no such value.
    """
    name: Any = getattr(reward, "name", None)
    if not isinstance(name, str) or not name:
        own = type(reward).__name__
        raise InputError(
            f"reward {own} must have a name: give the class one, such as name = {own.lower()!r}; got {name!r}."
        )
    for attribute in _ATTRIBUTES:
        check_attribute(name, attribute, getattr(reward, attribute, None))


def check_attribute(reward: str, name: str, value: Any) -> None:
    """Check the value of an attribute of a reward.

    Raises:
        InputError: The attribute has no such value.
    """
    fits, expected = _ATTRIBUTES[name]
    if not fits(value):
        raise InputError(f"{name} of reward {reward!r} must be {expected}; got {given(value)}.")


def _as_attribute(name: str, value: Any) -> Any:
    return tuple(map(float, value)) if name == "range" else str(value) if name in ("unit", "version") else value


def _is_range(value: Any) -> bool:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        return False
    return low < high  # not where one is NaN


_ATTRIBUTES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "batch": (is_count, "the largest number of images in a call, at least 1"),
    "noisy": (lambda value: isinstance(value, bool), "True or False"),
    "range": (_is_range, "the lowest and the highest possible score, such as (0, 1)"),
    "unit": (lambda value: isinstance(value, str), "text"),
    "version": (lambda value: isinstance(value, str | int | float), "text"),
    "policy": (lambda value: isinstance(value, CallPolicy), "a zo_dno.CallPolicy"),
}
_TAKEN = ("batch", "noisy", "range", "unit", "version")
"""Attributes of a function that become those of its reward."""


def _checked_options(name: str, function: Any, internal: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a function.

    Raises:
        InputError: An option does not fit, or is missing.
    """
    try:
        known = options_of(function, internal)
    except (TypeError, ValueError):  # a builtin without a signature
        known = {}
    needed = [option for option, one in known.items() if one.default is one.empty and option not in options]
    if needed:
        raise InputError(
            f"reward {name!r} must take (images) or (images, prompts), and options; got no value for its parameter "
            f"{needed[0]!r}. Give it a default, or the option {needed[0]}=..."
        )
    if not options:
        return {}
    if not known and not takes_any(function):
        raise InputError(f"reward {name!r} takes no options; got {', '.join(options)}.")
    return checked_options(name, function, options, internal)


def _code(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of a function's source, in hexadecimal. The functions that it calls do not count."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_names)) if code else type(function).__qualname__
    return hashlib.sha256(source.encode()).hexdigest()
