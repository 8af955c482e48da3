"""A Gaussian process of the reward over features of images, whose predictions have gradients."""

from dataclasses import dataclass

import torch
from torch import Tensor

_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # length scales of the smooth kernel, in standardized features
_MIXES = (0.0, 0.5, 1.0)  # linear share of the kernel
_NOISES = (0.003, 0.03, 0.1, 0.3, 1.0)  # variance that features do not explain, as a share of the kernel's


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel mix <x, x'> / m + (1 - mix) exp(-|x - x'|^2 / (2 m length^2)), for m standardized features.

    Attributes:
        length: Length scale of the smooth part.
        mix: Share of the linear part.
    """

    length: float
    mix: float

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the kernel of all pairs of rows, (n, k)."""
        m = x.shape[1]
        inner = x @ other.T
        squares = (x**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * inner
        smooth = torch.exp(-squares.clamp_min(0) / (2 * m * self.length**2))
        return self.mix * inner / m + (1 - self.mix) * smooth

    def own(self, x: Tensor) -> Tensor:
        """Return the kernel of every row with itself, (n,)."""
        return self.mix * (x**2).mean(1) + 1 - self.mix


KERNELS = tuple(
    Kernel(length, mix)
    for length in _LENGTHS
    for mix in (_MIXES if length == _LENGTHS[0] else _MIXES[:-1])  # a linear kernel has no length
)


class Standardized:
    """The features of known images on a scale on which each has mean 0 and standard deviation 1.

    Args:
        features: Features of the images, (n, m).
    Attributes:
        x: Their standardized features, (n, m) float64.
    """

    def __init__(self, features: Tensor) -> None:
        known = features.double()
        self._centre, self.scale = known.mean(0), known.std(0, correction=0) + 1e-6
        self.x = self(known)

    def __call__(self, features: Tensor) -> Tensor:
        """Put features (k, m) on this scale."""
        standardized: Tensor = (features.double() - self._centre) / self.scale
        return standardized


class GaussianProcess:
    """A Gaussian process with the most likely kernel and noise of a grid (Rasmussen and Williams 2006, section 5.4).

    One eigendecomposition of each kernel serves all noise levels, so the choice costs as much as one fit.

    Args:
        features: Features of the images, (n, m).
        rewards: Rewards of the images, (n,).
        kernels: Kernels to choose from.
    Attributes:
        kernel: The chosen kernel.
        noise: Variance that features do not explain, as a share of the kernel's.
    """

    def __init__(self, features: Tensor, rewards: Tensor, kernels: tuple[Kernel, ...] = KERNELS) -> None:
        self._features, y = Standardized(features), rewards.double()
        self._mean = y.mean()
        spread = y.std(correction=0)
        self._unit = spread if float(spread) > 0 else torch.ones_like(spread)
        self._x = self._features.x
        self._y = (y - self._mean) / self._unit
        best = -torch.inf
        for kernel in kernels:
            values, vectors = torch.linalg.eigh(kernel(self._x, self._x))
            projected = vectors.T @ self._y
            for noise in _NOISES:
                spread = values.clamp_min(0) + noise
                variance = (projected**2 / spread).mean().clamp_min(1e-12)
                likelihood = float(-len(y) * variance.log() - spread.log().sum())
                if likelihood > best:
                    best = likelihood
                    self.kernel, self.noise, self._variance = kernel, noise, variance
                    self._vectors, self._spread = vectors, spread
                    self._weights = vectors @ (projected / spread)

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Predict rewards from features (n, m): means and standard deviations, (n,) each, with gradients."""
        x = self._features(features)
        kernel = self.kernel(x, self._x)
        known = ((kernel @ self._vectors) ** 2 / self._spread).sum(1)
        deviation = ((self.kernel.own(x) - known).clamp_min(1e-9) * self._variance).sqrt()
        return self._mean + self._unit * (kernel @ self._weights), self._unit * deviation

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict rewards from features (k, m) together: means (k,), covariances (k, k), and a score's own variance."""
        x = self._features(features)
        kernel = self.kernel(x, self._x)
        known = (kernel @ self._vectors / self._spread) @ (kernel @ self._vectors).T
        covariance = (self.kernel(x, x) - known) * self._variance * self._unit**2
        mean = self._mean + self._unit * (kernel @ self._weights)
        return mean, covariance, self.noise * self._variance * self._unit**2

    def left_out(self) -> Tensor:
        """Predict every reward from all the others, (n,) (Rasmussen and Williams 2006, eq. 5.12)."""
        diagonal = (self._vectors**2 / self._spread).sum(1)
        predictions: Tensor = self._mean + self._unit * (self._y - self._weights / diagonal)
        return predictions
