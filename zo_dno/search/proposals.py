"""What a strategy proposes and is told, with its mistakes named: a strategy may be the caller's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError, RunError, ZoDnoError, given, sentence
from zo_dno.failures import text_of
from zo_dno.generators.memory import is_out_of_memory
from zo_dno.registry import line_of
from zo_dno.strategy import Strategy
from zo_dno.types import Candidates


def ask(strategy: Strategy) -> Candidates:
    """Ask a strategy for its next population, and check it.

    Raises:
        InputError: It is no population of candidates, or memory does not suffice for it.
        RunError: A strategy of the caller's raised.
    """
    with failures_named(strategy, "ask"):
        candidates = strategy.ask()
    return checked(candidates, type(strategy).__name__)


def checked(candidates: Any, name: str) -> Candidates:
    """Return what a strategy proposed, with its ids as plain numbers.

    Args:
        candidates: What `ask` returned.
        name: Name of the strategy, for messages.
    Raises:
        InputError: It is no population of candidates.
    """
    expected = f"ask() of strategy {name} must return Candidates(z, ids)"
    if not isinstance(candidates, Candidates):
        raise InputError(f"{expected}; got {given(candidates, 80)}.")
    z: Any = candidates.z
    if not isinstance(z, Tensor):
        raise InputError(f"{expected} with a tensor z; got {type(z).__name__}. torch.as_tensor makes one of an array.")
    if z.dtype != torch.float32 or z.device.type != "cpu":
        kind = f"{str(z.dtype).removeprefix('torch.')} on {z.device.type}"
        raise InputError(f"{expected} with z of float32 on the CPU; got {kind}. Return z.float().cpu().")
    if z.ndim != 2:
        raise InputError(f"{expected} with z (n, d), a row for each candidate; got {tuple(z.shape)}.")
    if not len(z):
        raise InputError(f"{expected} with at least one candidate; got none.")
    ids = _plain(candidates.ids)
    if ids is None or len(ids) != len(z) or ids != tuple(range(ids[0], ids[0] + len(ids))):
        raise InputError(
            f"{expected} with an id for each row of z, which count up; got {given(candidates.ids, 80)} for {len(z)} "
            "rows. zo_dno.strategies.base.PopulationStrategy numbers them."
        )
    return candidates if ids == candidates.ids else Candidates(z, ids)


@contextmanager
def failures_named(strategy: Strategy, method: str) -> Iterator[None]:
    """Name the strategy and the line of the caller's where a call of a method fails inside the block.

    Raises:
        InputError: Memory does not suffice.
        RunError: A strategy of the caller's raised; one of this package raises what it raised.
    """
    try:
        yield
    except ZoDnoError:
        raise
    except Exception as error:
        name = type(strategy).__name__
        if is_out_of_memory(error):
            raise InputError(
                f"memory must suffice for a population of {name}; it does not. Set a smaller population: "
                "--strategy-option population=..."
            ) from error
        where = line_of(error)
        if not where and type(strategy).__module__.startswith("zo_dno."):
            raise
        reason = sentence(f"{text_of(error)}{where and f' ({where})'}")
        raise RunError(
            f"{method}() of strategy {name} failed: {reason} Mend it; a run with a folder can be resumed."
        ) from error


def _plain(ids: Any) -> tuple[int, ...] | None:
    """Return ids as plain whole numbers; None where they are none."""
    if not isinstance(ids, Sequence | Tensor) or isinstance(ids, str) or not len(ids):
        return None
    try:
        return tuple(int(one) for one in ids)
    except (TypeError, ValueError):
        return None
