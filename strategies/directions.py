"""Random directions to probe along, all with second moment E[xi xi^T] = I."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Directions = Callable[[int, int, torch.Generator], Tensor]
"""(n, d, rng) -> (n, d)."""


def gaussian(n: int, d: int, rng: torch.Generator) -> Tensor:
    """Draw N(0, I)."""
    return torch.randn(n, d, generator=rng)


def sphere(n: int, d: int, rng: torch.Generator) -> Tensor:
    """Draw from the sphere of radius sqrt(d)."""
    xi = gaussian(n, d, rng)
    unit: Tensor = xi / xi.norm(dim=1, keepdim=True)
    return unit * math.sqrt(d)


def rademacher(n: int, d: int, rng: torch.Generator) -> Tensor:
    """Draw signs, +1 or -1."""
    return torch.randint(0, 2, (n, d), generator=rng).float().mul_(2).sub_(1)


def orthogonal(n: int, d: int, rng: torch.Generator) -> Tensor:
    """Draw orthogonal frames of the sphere of radius sqrt(d), d directions each, the last one cut short."""
    frames = [_frame(min(d, n - first), d, rng) for first in range(0, n, d)]
    return torch.cat(frames)


def _frame(n: int, d: int, rng: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(gaussian(n, d, rng).T)
    frame: Tensor = (q * r.diagonal().sign()).T  # the signs make it uniform (Mezzadri 2007, arXiv:math-ph/0609050)
    return frame * math.sqrt(d)


DIRECTIONS: dict[str, Directions] = {
    "gaussian": gaussian,
    "sphere": sphere,
    "rademacher": rademacher,
    "orthogonal": orthogonal,
}
