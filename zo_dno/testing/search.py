"""A small search for strategies to be tried on: a reward, a model, and the loop of ask and tell."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zo_dno.rng import stream
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Strategy, WhiteBox


class FlatModel:
    """A model whose images are rows of four pixels made of the noise; its reward is brightness.

    Args:
        first: Number of entries of the first draw, whose squashed values are the latents; by default all of z.
    """

    image_shape = (3, 1, 4)
    has_gradient = True
    has_latents = True

    def __init__(self, first: int | None = None) -> None:
        self._first = first

    def render(self, z: Tensor) -> Tensor:
        """Render a squashed fixed map of z."""
        d = z.shape[1]
        weights = torch.randn(d, 12, generator=stream(5, "flat model")) / math.sqrt(d)
        return (z @ weights).sigmoid().reshape(-1, *self.image_shape)

    def vjp(self, z: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Return J(z)^T h."""
        z = z.clone().requires_grad_()
        images = self.render(z)
        (gradient,) = torch.autograd.grad(images, z, cotangent(images.detach()))
        return gradient

    def latents(self, z: Tensor) -> Tensor:
        """Squash the first draw of z."""
        return z[:, : self._first].tanh()

    def project(self, z: Tensor) -> Tensor:
        """Find everything plausible."""
        return z

    def reward_gradient(self, images: Tensor) -> Tensor:
        """Return the gradient of brightness."""
        return torch.full_like(images, 1 / images[0].numel())


def with_model(strategy: Strategy) -> Strategy:
    """Give a strategy the model that it takes gradients through, if it takes any."""
    if isinstance(strategy, WhiteBox):
        strategy.use_model(FlatModel(strategy.sizes[0] if isinstance(strategy, PopulationStrategy) else None))
    return strategy


def shifted_sphere(z: Tensor) -> Tensor:
    """Reward 0 at a point on the shell, and less with the mean squared distance from it."""
    d = z.shape[1]
    target = torch.linspace(-1, 1, d)
    target = target * (math.sqrt(d) / target.norm())
    rewards: Tensor = -(z - target).square().mean(dim=1)
    return rewards


def holes(z: Tensor) -> Tensor:
    """Return rewards with missing ones and ties."""
    found = shifted_sphere(z).mul(4).round()
    found[1::3] = torch.nan
    return found


def play(strategy: Strategy, reward: Callable[[Tensor], Tensor], populations: int) -> list[Tensor]:
    """Ask and tell, and return what was asked."""
    asked = []
    for _ in range(populations):
        candidates = strategy.ask()
        asked.append(candidates.z)
        strategy.tell(candidates, reward(candidates.z))
    return asked


def same_candidates(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Return whether two strategies asked for the same, bit for bit."""
    return len(some) == len(others) and all(torch.equal(x, y) for x, y in zip(some, others, strict=True))
