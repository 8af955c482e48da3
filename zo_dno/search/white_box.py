"""The model that white-box strategies use: a differentiable generator, and the reward's gradient where it has one."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.pixels import render_floats, vjp_of
from zo_dno.generators.renderer import Renderer
from zo_dno.reward import Reward
from zo_dno.search.blocks import Blocks
from zo_dno.search.objective import Objective
from zo_dno.strategy import PerturbsImages, Strategy, WhiteBox
from zo_dno.types import Differentiable, Generator, batch_size_of, prompt_of


@runtime_checkable
class DifferentiableReward(Protocol):
    """A reward that is also a function of the image before rounding."""

    def differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score images (n, 3, H, W) in [0, 1] with autograd, (n,)."""
        ...


class Opened:
    """A generator and a reward as white-box strategies see them.

    Args:
        generator: Generator with `render`.
        reward: Reward whose gradient a strategy may take.
        objective: Objective that decides what is plausible.
        blocks: Blocks in which candidates are rendered.
    """

    def __init__(
        self, generator: Generator, reward: Reward, objective: Objective, blocks: Blocks | None = None
    ) -> None:
        self._generator, self._reward, self._objective = generator, reward, objective
        self._blocks = blocks or Blocks(batch_size_of(generator))
        self._shape: tuple[int, int, int] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of an image, (3, H, W)."""
        if self._shape is None:
            _, *rest = self.render(torch.zeros(1, self._generator.layout.d)).shape
            self._shape = (rest[0], rest[1], rest[2])
        return self._shape

    def render(self, z: Tensor) -> Tensor:
        """Render z (n, d) as (n, 3, H, W) float32 in [0, 1], without a graph."""
        generator = self._generator
        assert isinstance(generator, Differentiable)
        blocks = [
            render_floats(generator, self._blocks.filled(z[rows]))[: rows.stop - rows.start]
            for rows in self._blocks.of(len(z))
        ]
        return torch.cat(blocks).float()

    def vjp(self, z: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Return J(z)^T h, (n, d) on the CPU; `cotangent` gives h for the float32 images of z."""
        assert isinstance(self._generator, Differentiable)
        return vjp_of(self._generator, z, cotangent)

    def project(self, z: Tensor) -> Tensor:
        """Move implausible noise in z (n, d) to plausible noise near it."""
        return self._objective.project(z)

    def reward_gradient(self, images: Tensor) -> Tensor:
        """Return the reward's gradient at images (n, 3, H, W)."""
        assert isinstance(self._reward, DifferentiableReward)
        prompt = prompt_of(self._generator)
        with torch.enable_grad():
            images = images.detach().float().requires_grad_()
            scores = self._reward.differentiable(images, [prompt] * len(images))
            (gradient,) = torch.autograd.grad(scores.sum(), images)
        return gradient


def check_white_box(strategy: Strategy, generator: Generator, reward: Reward) -> None:
    """Check that a white-box strategy can take its gradients.

    Raises:
        InputError: The generator or the reward has none, or the generator renders in other processes.
    """
    if not isinstance(strategy, WhiteBox):
        return
    name = type(strategy).__name__
    if isinstance(generator, Renderer):  # it renders in its own actors
        raise InputError(f"generators must be 0 with {name}, which takes gradients in the run's own process; got more.")
    if not isinstance(generator, Differentiable):
        raise InputError(
            f"{name} takes gradients through the generator, and {type(generator).__name__} has no "
            "render(z) -> (n, 3, H, W) float. Take a black-box strategy, such as snes."
        )
    if strategy.takes_reward_gradient and not isinstance(reward, DifferentiableReward):
        raise InputError(
            f"{name} takes the reward's gradient, and {reward.name!r} has no differentiable(images, prompts). "
            "Take hybrid2, which queries the reward and takes its gradient through the pipeline alone."
        )


def image_noise_of(strategy: Strategy) -> Tensor | None:
    """Return the noise that a strategy adds to the images of its last population, if it adds any."""
    return strategy.image_noise() if isinstance(strategy, PerturbsImages) else None
