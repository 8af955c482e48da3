"""The climb: gradient ascent of an acquisition through the pipeline, on the Gaussian shell."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zo_dno.strategy import Model

Acquisition = Callable[[Tensor], Tensor]
"""Images (n, 3, H, W) in [0, 1] -> how much it is worth to query each, (n,), differentiable."""

_MOMENTUM = 0.7
_LAST_STEP = 0.2  # share of the first step's length that the last one has


def climb(
    z: Tensor, model: Model, acquisition: Acquisition, retract: Callable[[Tensor], Tensor], steps: int, step: float
) -> Tensor:
    """Climb from z (n, d) by normalised gradient ascent with momentum, and return where it ends, (n, d).

    Args:
        z: Noise to begin with, on the shell.
        model: Model to take gradients through.
        acquisition: Function to climb.
        retract: Function that puts noise (n, d) back on the shell.
        steps: Number of steps.
        step: Length of the first step, as a share of the shell's radius. The length shrinks to a fifth.
    """
    velocity, radius = torch.zeros_like(z), math.sqrt(z.shape[1])
    for number in range(steps):
        gradient = model.vjp(z, lambda images: slope(acquisition, images)).nan_to_num(0, 0, 0)
        along = (gradient * z).sum(1, keepdim=True) / (z * z).sum(1, keepdim=True)
        velocity = _MOMENTUM * velocity + _unit(gradient - along * z)
        length = step * radius * (1 - (1 - _LAST_STEP) * number / steps)
        z = retract(z + length * _unit(velocity))
    return z


def slope(acquisition: Acquisition, images: Tensor) -> Tensor:
    """Return the gradient of an acquisition at images, (n, 3, H, W)."""
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(acquisition(images.clamp(0, 1)).sum(), images)
    return gradient


def _unit(rows: Tensor) -> Tensor:
    """Scale every row (n, d) to norm 1; rows of zeros stay."""
    norms: Tensor = rows.norm(dim=1, keepdim=True)
    return rows / norms.clamp_min(1e-12)
