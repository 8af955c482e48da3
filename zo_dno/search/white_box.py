"""The model that white-box strategies use: a generator, and gradients through it and the reward where they have any."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.pixels import has_gradient, render_floats, vjp_of
from zo_dno.generators.renderer import GradientRenderer, Renderer, render_images
from zo_dno.reward import Reward
from zo_dno.search.blocks import Blocks
from zo_dno.search.objective import Objective
from zo_dno.strategy import NeedsLatents, PerturbsImages, Strategy, WhiteBox
from zo_dno.types import (
    Differentiable,
    Generator,
    HasLatents,
    HasVjp,
    Rendered,
    array_of,
    balanced_slices,
    batch_size_of,
    prompt_of,
)


@runtime_checkable
class DifferentiableReward(Protocol):
    """A reward that is also a function of the image before rounding."""

    def differentiable(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score images (n, 3, H, W) in [0, 1] with autograd, (n,)."""
        ...


class Opened:
    """A generator and a reward as white-box strategies see them.

    Args:
        generator: Generator; without `render`, images are rounded and have no gradient.
        reward: Reward whose gradient a strategy may take.
        objective: Objective that decides what is plausible.
        blocks: Blocks in which candidates are rendered.
    Attributes:
        images: Number of images that the strategy rendered so far; those of gradients and of latents count, too.
    """

    def __init__(
        self, generator: Generator, reward: Reward, objective: Objective, blocks: Blocks | None = None
    ) -> None:
        self._generator, self._reward, self._objective = generator, reward, objective
        self._blocks = blocks or Blocks(batch_size_of(generator))
        self._shape: tuple[int, int, int] | None = None
        self._has_gradient: bool | None = None
        self.images = 0

    @property
    def has_gradient(self) -> bool:
        """Whether images have a gradient with respect to their noise."""
        if self._has_gradient is None:
            generator = self._generator
            if isinstance(generator, GradientRenderer):
                self._has_gradient = generator.has_gradient()
            else:
                self._has_gradient = has_gradient(generator)
        return self._has_gradient

    @property
    def has_latents(self) -> bool:
        """Whether the generator gives its latents."""
        return isinstance(self._generator, HasLatents)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of an image, (3, H, W)."""
        if self._shape is None:
            _, *rest = self.render(torch.zeros(1, self._generator.layout.d)).shape
            self._shape = (rest[0], rest[1], rest[2])
        return self._shape

    def render(self, z: Tensor) -> Tensor:
        """Render z (n, d) as (n, 3, H, W) float32 in [0, 1], without a graph; what has no image is NaN."""
        self.images += len(z)
        blocks = [z[rows] for rows in self._blocks.of(len(z))]
        if isinstance(self._generator, Renderer):  # it renders all of them at the same time
            begun = [self._generator.begin(self._blocks.filled(block)) for block in blocks]
            pairs = zip(begun, blocks, strict=True)
            return torch.cat([_floats_of(one.result()[: len(block)]) for one, block in pairs])
        return torch.cat([self._rendered(block) for block in blocks])

    def _rendered(self, z: Tensor) -> Tensor:
        filled = self._blocks.filled(z)
        if isinstance(self._generator, Differentiable) and self.has_gradient:
            return render_floats(self._generator, filled)[: len(z)].float()
        return _floats_of(render_images(self._generator, filled)[: len(z)])

    def vjp(self, z: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Return J(z)^T h, (n, d) on the CPU; `cotangent` gives h for the float32 images of z."""
        generator = self._generator
        self.images += len(z)
        blocks = [z[rows] for rows in self._blocks.of(len(z))]
        if isinstance(generator, GradientRenderer):
            return torch.cat(generator.vjps(blocks, cotangent))
        assert isinstance(generator, HasVjp | Differentiable)
        return torch.cat([vjp_of(generator, block, cotangent) for block in blocks])

    def latents(self, z: Tensor) -> Tensor:
        """Return the final latents of z (n, d), (n, *shape) float32 on the CPU, without a graph."""
        generator = self._generator
        assert isinstance(generator, HasLatents)
        self.images += len(z)
        # In blocks that no budget ends, or a run that is resumed with more queries would see other last bits.
        blocks = balanced_slices(len(z), self._blocks.batch_size or len(z))
        with torch.no_grad():
            return torch.cat([generator.latents(z[rows]).detach().float().cpu() for rows in blocks])

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
    """Check that a white-box strategy can take its gradients and latents.

    Raises:
        InputError: The generator or the reward has none, or the generator renders in other processes.
    """
    if not isinstance(strategy, WhiteBox):
        return
    name = type(strategy).__name__
    if isinstance(strategy, NeedsLatents) and strategy.needs_latents and not isinstance(generator, HasLatents):
        if isinstance(generator, Renderer):
            raise InputError(
                f"generators must be 0 with {name}, which takes latents in the run's own process; got more."
            )
        raise InputError(
            f"{name} takes the generator's final latents, and {type(generator).__name__} has no latents(z). Take "
            "surrogate, which needs images alone."
        )
    if not strategy.needs_gradient:
        return
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


def _floats_of(rendered: Sequence[Rendered]) -> Tensor:
    """Return images as (n, 3, H, W) float32 in [0, 1]; what has no image is NaN."""
    images = torch.from_numpy(np.stack([array_of(one.image) for one in rendered])).permute(0, 3, 1, 2) / 255
    images[[bool(one.no_image) for one in rendered]] = torch.nan
    return images


def image_noise_of(strategy: Strategy) -> Tensor | None:
    """Return the noise that a strategy adds to the images of its last population, if it adds any."""
    return strategy.image_noise() if isinstance(strategy, PerturbsImages) else None
