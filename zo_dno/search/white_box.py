"""What white-box strategies are handed: the generator, and where the reward has one its gradient."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import InputError
from zo_dno.generators.pixels import render_floats
from zo_dno.reward import Reward
from zo_dno.search.objective import Objective
from zo_dno.strategy import PerturbsImages, Strategy, WhiteBox
from zo_dno.types import Differentiable, Generator, HasVjp, prompt_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@runtime_checkable
class DifferentiableReward(Protocol):
    """A reward that is also known as a function of the image before it is rounded."""

    def differentiable(self, images: Tensor, prompts: "Sequence[str]") -> Tensor:
        """Score images (n, 3, H, W) in [0, 1], (n,), so that autograd can pass."""
        ...


class Opened:
    """A generator and a reward as white-box strategies see them.

    Args:
        generator: with `render`.
        reward: whose gradient may be asked for.
        objective: that knows what is plausible.
    """

    def __init__(self, generator: Generator, reward: Reward, objective: Objective) -> None:
        self._generator, self._reward, self._objective = generator, reward, objective
        self._shape: tuple[int, int, int] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(3, H, W)."""
        if self._shape is None:
            _, *rest = self.render(torch.zeros(1, self._generator.layout.d)).shape
            self._shape = (rest[0], rest[1], rest[2])
        return self._shape

    def render(self, z: Tensor) -> Tensor:
        """Draw z (n, d) as (n, 3, H, W) float32 in [0, 1], without a graph."""
        assert isinstance(self._generator, Differentiable)
        return render_floats(self._generator, z).float()

    def vjp(self, z: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Return J(z)^T h, (n, d) on the CPU; `cotangent` gives h for the float32 images of z."""
        if isinstance(self._generator, HasVjp):
            return self._generator.vjp(z, cotangent)
        assert isinstance(self._generator, Differentiable)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            images = self._generator.render(z)
            (gradient,) = torch.autograd.grad(images, z, cotangent(images.detach().float()).to(images))
        return gradient

    def project(self, z: Tensor) -> Tensor:
        """Move noise z (n, d) that is not plausible to the nearest that is."""
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
    """Refuse what a strategy cannot take gradients through.

    Raises:
        InputError: saying what is in the way.
    """
    if not isinstance(strategy, WhiteBox):
        return
    name = type(strategy).__name__
    if isinstance(generator, GeneratorPool):
        raise InputError(f"generators must be 0 with {name}, which takes gradients in the run's own process; got more.")
    if not isinstance(generator, Differentiable):
        raise InputError(
            f"{name} takes gradients through the generator, and {type(generator).__name__} has no "
            "render(z) -> (n, 3, H, W) float. Take a black-box strategy, such as snes."
        )
    if strategy.takes_reward_gradient and not isinstance(reward, DifferentiableReward):
        raise InputError(
            f"{name} takes the reward's gradient, and {reward.name!r} has no differentiable(images, prompts). "
            "Take hybrid2, which asks the reward and takes its gradient through the pipeline alone."
        )


def image_noise_of(strategy: Strategy) -> Tensor | None:
    """Return what a strategy adds to the images of its last population, if it does."""
    return strategy.image_noise() if isinstance(strategy, PerturbsImages) else None
