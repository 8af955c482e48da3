"""Python functions as rewards."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.registry import n_positional
from zo_dno.reward import Reward
from zo_dno.types import Score


class FunctionReward(Reward):
    """A plain function (images, prompts) -> scores, or (images) -> scores, as a reward.

    Args:
        function: Function of a sequence of PIL images and, if it has a second parameter, a sequence of prompts. It may
            be a coroutine function; then its `policy` says how many calls are in flight. Its attributes `unit`,
            `version`, `policy` and `differentiable`, if it has them, become the reward's.
        name: Name in tables and results; by default the function's.
    """

    def __init__(self, function: Callable[..., Sequence[float | Score]], name: str | None = None) -> None:
        if not callable(function):
            raise InputError(f"reward must be a function of images and prompts; got {function!r}.")
        self.name = name or str(getattr(function, "__name__", type(function).__name__))
        self.version = str(getattr(function, "version", "1"))
        self.unit = str(getattr(function, "unit", "score"))
        self.policy = getattr(function, "policy", getattr(function, "asking", CallPolicy()))
        self._code = None if hasattr(function, "version") else _code(function)
        self._function = function
        differentiable: Any = getattr(function, "differentiable", None)
        if differentiable is not None:
            self.differentiable = differentiable
        self._takes_prompts = n_positional(function) != 1
        self.is_async = any(map(inspect.iscoroutinefunction, (function, getattr(function, "__call__", None))))  # noqa: B004

    @property
    def identity(self) -> dict[str, Any]:
        """Name and version; without a version of its own, the function's source."""
        return super().identity | ({} if self._code is None else {"code": self._code})

    def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> Any:
        """Score PIL images, each rendered for the prompt at the same index; an awaitable for a coroutine function."""
        return self._function(images, prompts) if self._takes_prompts else self._function(images)


def _code(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of a function's source, in hexadecimal. The functions that it calls do not count."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt, or not written in Python
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_names)) if code else type(function).__qualname__
    return hashlib.sha256(source.encode()).hexdigest()
