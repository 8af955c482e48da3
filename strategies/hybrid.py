"""Direct Noise Optimization of black-box rewards, with gradients through the pipeline and reward values."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import rotate
from zo_dno.strategies.cotangents import image_differences, noise_differences
from zo_dno.strategies.gradient_ascent import GradientAscent, Scale
from zo_dno.strategy import Problem


class Hybrid(GradientAscent):
    """Score the current noise and population - 1 probes near it, and take their estimate through the pipeline.

    Args:
        mu: Size of the probes.
        centred: Whether the probes' rewards are compared with their mean, so that a loss that all probes share does not
            count, instead of with the reward of the current noise, as in the paper.
        lr, momentum, retraction, scale: Options of `GradientAscent`.
    """

    takes_reward_gradient: ClassVar[bool] = False

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 8,
        mu: float = 0.3,
        lr: float = 0.1,
        momentum: float = 0.9,
        retraction: bool = True,
        scale: Scale = "reward",
        centred: bool = True,
    ) -> None:
        super().__init__(problem, population=population, lr=lr, momentum=momentum, retraction=retraction, scale=scale)
        if population < 2:
            raise InputError(f"population must be at least 2, one image and a probe; got {population}.")
        if not 0 < mu < 1:
            raise InputError(f"mu must be in (0, 1); got {mu}.")
        self.mu, self.centred = mu, centred

    def _level(self, scores: Tensor) -> Tensor:
        """Return the score that the probes' are compared with."""
        return scores[1:].nanmean() if self.centred else scores[0]

    @property
    def step_size(self) -> float:
        return self.mu


class Hybrid1(Hybrid):
    """Probe in image space: score x + mu xi, where x is the image in [0, 1] (Hybrid-1, Tang et al. 2024).

    The scored images are noisy, and only x itself can win.

    Args:
        mu: Standard deviation of the noise that is added to the image; 0.05 is 13 of 255 levels.
        population, lr, momentum, retraction, scale, centred: Options of `Hybrid`.
    """

    STATE: ClassVar[tuple[str, ...]] = (*Hybrid.STATE, "_image_noise")
    _image_noise: Tensor | None = None

    def __init__(self, problem: Problem, *, mu: float = 0.05, **options: Any) -> None:
        super().__init__(problem, mu=mu, **options)

    def image_noise(self) -> Tensor | None:
        """Return the noise to add to the images of the last `ask`, (n, 3, H, W); the first image gets none."""
        return self._image_noise

    def _sample(self) -> Tensor:
        self._image_noise = self.mu * torch.randn(self.population, *self.model.image_shape, generator=self.rng)
        self._image_noise[0] = 0
        return self._z.expand(self.population, -1).clone()

    def _slope(self, z: Tensor, scores: Tensor, x: Tensor) -> Tensor:
        assert self._image_noise is not None
        offsets = self._image_noise[1:].flatten(1).to(x.device)
        scores = scores.to(x.device)
        return image_differences(offsets, scores[1:], self._level(scores), self.mu).view_as(x)


class Hybrid2(Hybrid):
    """Probe in noise space and compare images (Hybrid-2 of Tang et al. 2024, arXiv:2405.18881).

    Probes are sqrt(1 - mu^2) z + mu xi, on the shell, and can win like every candidate.

    Args:
        mu: Share of a probe that is new noise.
        population, lr, momentum, retraction, scale, centred: Options of `Hybrid`.
    """

    def _sample(self) -> Tensor:
        return torch.cat([self._z[None], rotate(self._z, self.randn(self.population - 1), self.mu)])

    def _slope(self, z: Tensor, scores: Tensor, x: Tensor) -> Tensor:
        probes = self.model.render(z[1:]).flatten(1)
        scores = scores.to(x.device)
        return noise_differences(probes, x.flatten(), scores[1:], self._level(scores)).view_as(x)
