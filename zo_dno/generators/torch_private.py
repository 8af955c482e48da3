"""Private attributes of torch's modules: the call that lies inside of hooks and outside of compiled code."""

from collections.abc import Callable
from typing import Any

from torch import nn

INNER_CALL = "_compiled_call_impl"
"""Attribute that a module's `__call__` calls instead of `_call_impl` where it is not None."""


def inner_call(network: nn.Module) -> Callable[..., Any]:
    """Return what a module's `__call__` calls."""
    call: Callable[..., Any] = network._compiled_call_impl or network._call_impl
    return call
