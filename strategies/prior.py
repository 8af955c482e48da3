"""The first candidates of a search: prior draws, or rotations of given noise."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zo_dno.noise.space import rotate

if TYPE_CHECKING:
    from zo_dno.strategies.base import PopulationStrategy

INIT_STEP = 0.5  # our choice: first candidates are sqrt(1 - 0.5^2) init + 0.5 eps, 30 degrees away


def first_gaussian(start: Tensor, has_init: bool) -> tuple[Tensor, float]:
    """Return mean (d,) and width of the first candidates: N(0, I), or rotations of `start` by INIT_STEP."""
    if not has_init:
        return torch.zeros_like(start), 1.0
    return math.sqrt(1 - INIT_STEP**2) * start, INIT_STEP


def first_draws(strategy: "PopulationStrategy", n: int = 0) -> Tensor:
    """Draw the first population of a strategy from its own stream, (n, d): its start, and prior draws or rotations.

    Args:
        strategy: Strategy that draws.
        n: Number of candidates; 0 takes the strategy's population.
    """
    z = strategy.randn(n or strategy.population)
    if strategy.has_init:
        z = rotate(strategy.start, z, INIT_STEP)
    z[0] = strategy.start
    return z
