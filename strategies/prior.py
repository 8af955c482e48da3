"""Where a search distribution starts: at the prior, or around noise that was given."""

import math

import torch
from torch import Tensor

INIT_STEP = 0.5  # first candidates are sqrt(1 - 0.5^2) init + 0.5 eps, 30 degrees away: our choice


def first_gaussian(start: Tensor, has_init: bool) -> tuple[Tensor, float]:
    """Choose mean (d,) and width of the first candidates: N(0, I), or the rotations of `start` by INIT_STEP."""
    if not has_init:
        return torch.zeros_like(start), 1.0
    return math.sqrt(1 - INIT_STEP**2) * start, INIT_STEP
