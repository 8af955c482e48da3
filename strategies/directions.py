"""Random probe directions, all with second moment E[xi xi^T] = I."""

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
    """Draw orthogonal frames on the sphere of radius sqrt(d), d directions each; the last frame may have fewer."""
    frames = [_frame(min(d, n - first), d, rng) for first in range(0, n, d)]
    return torch.cat(frames)


def _frame(n: int, d: int, rng: torch.Generator) -> Tensor:
    q, r = torch.linalg.qr(gaussian(n, d, rng).T)
    frame: Tensor = (q * r.diagonal().sign()).T  # the signs make it uniform (Mezzadri 2007, arXiv:math-ph/0609050)
    return frame * math.sqrt(d)


def towards_past(xi: Tensor, past: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Turn directions towards the span of past gradients (guided ES, Maheswaranathan et al. 2019, arXiv:1806.10230).

    Args:
        xi: Directions with second moment I, (n, d).
        past: Past gradients, (k, d); rows of zeros do not count.
        share: Share of a direction's energy that lies in their span.
        rng: Generator of the component in their span.
    Returns:
        Directions with the same mean energy d, (n, d).
    """
    past = past[past.any(1)]
    if not len(past) or share == 0:
        return xi
    basis = torch.linalg.qr(past.T).Q.T
    inside = torch.randn(len(xi), len(basis), generator=rng) @ basis * math.sqrt(xi.shape[1] / len(basis))
    turned: Tensor = math.sqrt(1 - share) * xi + math.sqrt(share) * inside
    return turned


DIRECTIONS: dict[str, Directions] = {
    "gaussian": gaussian,
    "sphere": sphere,
    "rademacher": rademacher,
    "orthogonal": orthogonal,
}
