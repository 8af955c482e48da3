"""The climb: gradient ascent of an acquisition through the pipeline, on the Gaussian shell."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from zo_dno.noise.space import retract
from zo_dno.strategy import Model

Acquisition = Callable[[Tensor], Tensor]
"""Images (n, 3, H, W) in [0, 1] on the CPU -> how much it is worth to query each, (n,), differentiable."""

_MOMENTUM = 0.7
_LAST_STEP = 0.2  # share of the first step's length that the last one has


def climb(z: Tensor, model: Model, acquisition: Acquisition, sizes: Sequence[int], steps: int, step: float) -> Tensor:
    """Climb from z (n, d) by normalised gradient ascent with momentum, and return where it ends, (n, d).

    Args:
        z: Noise to begin with, on the shell.
        model: Model to take gradients through.
        acquisition: Function to climb. Where the model's images are rendered in other processes, it is sent there.
        sizes: Numbers of entries of the draws in z, each of which stays on a shell of its own.
        steps: Number of steps.
        step: Length of the first step, as a share of the shell's radius. The length shrinks to a fifth.
    """
    velocity, radius = torch.zeros_like(z), math.sqrt(z.shape[1])
    cotangent = partial(slope, acquisition)
    for number in range(steps):
        gradient = model.vjp(z, cotangent).nan_to_num(0, 0, 0)
        velocity = _tangent(_MOMENTUM * velocity + _unit(_tangent(gradient, z, sizes)), z, sizes)
        length = step * radius * (1 - (1 - _LAST_STEP) * number / steps)
        z = retract(z + length * _unit(velocity), sizes)
    return z


def slope(acquisition: Acquisition, images: Tensor) -> Tensor:
    """Return the gradient of an acquisition at images, (n, 3, H, W), on the CPU."""
    with torch.enable_grad():
        images = images.detach().cpu().requires_grad_()
        (gradient,) = torch.autograd.grad(acquisition(images.clamp(0, 1)).sum(), images)
    return gradient


def _tangent(rows: Tensor, z: Tensor, sizes: Sequence[int]) -> Tensor:
    """Remove from rows (n, d) what points off the shell of each draw in z (n, d)."""
    parts = zip(rows.split(list(sizes), 1), z.split(list(sizes), 1), strict=True)
    return torch.cat(
        [row - (row * at).sum(1, keepdim=True) / (at * at).sum(1, keepdim=True) * at for row, at in parts], 1
    )


def _unit(rows: Tensor) -> Tensor:
    """Scale every row (n, d) to norm 1; rows of zeros stay."""
    norms: Tensor = rows.norm(dim=1, keepdim=True)
    return rows / norms.clamp_min(1e-12)
