"""What a broken law raises, and the state of the global random generators, which must stay as they are."""

import random
from typing import Any

import numpy as np
import torch


class LawError(AssertionError):
    """A strategy or reward that breaks a law of its contract."""


def must(holds: bool, rule: str) -> None:
    """Raise LawError with the rule where it does not hold."""
    if not holds:
        raise LawError(rule)


def global_state() -> tuple[Any, ...]:
    """Return the states of the global random generators of torch, NumPy and Python."""
    return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002
