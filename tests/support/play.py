"""Playing a strategy against a reward, and the rewards that the tests use."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zo_dno.rng import stream
from zo_dno.strategies import STRATEGIES
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem, WhiteBox

Reward = Callable[[Tensor], Tensor]
NAMES = sorted(STRATEGIES)
WHITE_BOX = {"dno", "hybrid1", "hybrid2"}  # what they climb is their model's; their claims are in test_white_box.py


def load(name: str) -> type[PopulationStrategy]:
    """Import the class of a table entry."""
    module, _, cls = STRATEGIES[name].partition(":")
    loaded: type[PopulationStrategy] = getattr(importlib.import_module(module), cls)
    return loaded


def make(name: str, d: int = 12, seed: int = 0, horizon: int = 60, population: int = 6, **options: Any) -> Any:
    """Build a table entry small."""
    given = {key: options.pop(key) for key in ("sizes", "init") if key in options}
    strategy = load(name)(Problem(d, horizon, seed, **given), population=population, **options)
    if isinstance(strategy, WhiteBox):
        strategy.use_model(FlatModel())
    return strategy


class FlatModel:
    """A model whose images are rows of four pixels made of the noise, and a reward for coming near a point."""

    image_shape = (3, 1, 4)

    def render(self, z: Tensor) -> Tensor:
        """Draw a squashed fixed map of z."""
        d = z.shape[1]
        weights = torch.randn(d, 12, generator=stream(5, "flat model")) / math.sqrt(d)
        return (z @ weights).sigmoid().reshape(-1, *self.image_shape)

    def vjp(self, z: Tensor, cotangent: Reward) -> Tensor:
        """Return J(z)^T h."""
        z = z.clone().requires_grad_()
        images = self.render(z)
        return torch.autograd.grad(images, z, cotangent(images.detach()))[0]

    def project(self, z: Tensor) -> Tensor:
        """Find everything plausible."""
        return z

    def reward_gradient(self, images: Tensor) -> Tensor:
        """Of brightness."""
        return torch.full_like(images, 1 / images[0].numel())


def shifted_sphere(z: Tensor) -> Tensor:
    """Reward 0 at a point on the shell, and less with the mean squared distance from it."""
    d = z.shape[1]
    target = torch.linspace(-1, 1, d)
    target = target * (math.sqrt(d) / target.norm())
    return -(z - target).square().mean(dim=1)


def play(strategy: Any, reward: Reward, populations: int) -> list[Tensor]:
    """Ask and tell, and return what was asked."""
    asked = []
    for _ in range(populations):
        candidates = strategy.ask()
        asked.append(candidates.z)
        strategy.tell(candidates, reward(candidates.z))
    return asked


def best(strategy: Any, reward: Reward, queries: int) -> float:
    """Return the best score among exactly the first `queries` candidates."""
    seen: list[Tensor] = []
    while sum(map(len, seen)) < queries:
        candidates = strategy.ask()
        seen.append(reward(candidates.z))
        strategy.tell(candidates, seen[-1])
    return float(torch.cat(seen)[:queries].max())


def toy_image_reward(d: int, seed: int) -> Reward:
    """A stand-in for a reward of an image: half of z matters, unevenly, and the surface is rugged.

    A quarter of the directions enters through a saturating sum with weights from 10 : 1 and through products of
    neighbours; another quarter through cosines that a rotation by about 0.4 forgets and that make up most of the
    variance among prior draws. Only the direction of z counts, so leaving the shell gains nothing.
    """
    rng, k = stream(seed, "toy"), d // 4
    basis, _ = torch.linalg.qr(torch.randn(d, 2 * k, generator=rng))
    weights = torch.linspace(2, 0.2, k)
    phases = 2 * math.pi * torch.rand(k, generator=rng)

    def reward(z: Tensor) -> Tensor:
        u, v = (z * (math.sqrt(d) / z.norm(dim=1, keepdim=True)) @ basis).chunk(2, dim=1)
        smooth = (weights * u.tanh() + 0.5 * u * u.roll(1, 1)).sum(1)
        return (smooth + 2 * (4 * v + phases).cos().sum(1)) / math.sqrt(k)

    return reward


def same_candidates(one: list[Tensor], other: list[Tensor]) -> bool:
    """Tell whether two strategies asked for the same."""
    return len(one) == len(other) and all(torch.equal(x, y) for x, y in zip(one, other, strict=True))
