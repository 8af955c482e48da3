"""A Gaussian process of the reward over features of images, whose predictions have gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zo_dno.surrogate.kernels import KERNELS, AnyKernel, Kernel, KernelSum, columns_of, products

_LEAST_SCALE = 0.01  # of a feature, whose values are shares, brightnesses or logarithms
DECIDING = 128  # rewards that decide about the kernel, at most
LEVEL = 10.0  # variance of the mean reward, which is not known, as a share of the kernel's
_SHARES = (0.25, 0.5, 0.75)  # of a further family of features in the kernel
NOISES = (0.003, 0.03, 0.1, 0.3, 1.0)  # variance that features do not explain, as a share of the kernel's


def evenly(n: int, most: int) -> Tensor:
    """Return at most so many of n indices, evenly spread."""
    return torch.linspace(0, n - 1, min(n, most)).round().long()


def near(noise: float) -> tuple[float, ...]:
    """Return a noise of the grid and those beside it."""
    place = NOISES.index(noise)
    return NOISES[max(0, place - 1) : place + 2]


class Standardized:
    """The features of known images on a scale on which each has mean 0 and standard deviation 1, or less.

    A feature that hardly varies among them would outweigh all others in an image in which it does, and is scaled less.

    Args:
        features: Features of the images, (n, m).
    Attributes:
        x: Their standardized features, (n, m) float64.
    """

    def __init__(self, features: Tensor) -> None:
        known = features.double()
        self._centre, self.scale = known.mean(0), known.std(0, correction=0).clamp_min(_LEAST_SCALE)
        self.x = self(known)

    def __call__(self, features: Tensor) -> Tensor:
        """Put features (k, m) on this scale."""
        standardized: Tensor = (features.double() - self._centre) / self.scale
        return standardized


class GaussianProcess:
    """A Gaussian process with the most likely kernel and noise of a grid (Rasmussen and Williams 2006, section 5.4).

    The kernel is chosen by at most 128 of the rewards, so that the choice costs less than the fit. With several
    families of features it is a sum: each family gets the kernel that is likeliest by itself, and then, from the
    likeliest family on, each further one the likeliest share.

    Args:
        features: Features of the images, (n, m).
        rewards: Rewards of the images, (n,).
        kernels: Kernels to choose from.
        sizes: Number of features of each family, in order; by default all are one family.
        errors: Standard errors of the rewards where they are known, (n,); 0 elsewhere.
    Attributes:
        kernel: The chosen kernel.
        noise: Variance that features do not explain, as a share of the kernel's.
        likelihood: Twice the logarithm of how likely the rewards are, with the likeliest variance, but for a constant.
        unit: Standard deviation of the rewards.
    """

    def __init__(
        self,
        features: Tensor,
        rewards: Tensor,
        kernels: tuple[Kernel, ...] = KERNELS,
        sizes: Sequence[int] = (),
        errors: Tensor | None = None,
    ) -> None:
        self._features, y = Standardized(features), rewards.double()
        self._x = self._features.x
        self._mean = y.mean()
        spread = y.std(correction=0)
        self._unit = spread if float(spread) > 0 else torch.ones_like(spread)
        self._y = (y - self._mean) / self._unit
        # as shares of the kernel's variance, which is about that of the rewards
        self._errors = torch.zeros_like(y) if errors is None else (errors.double() / self._unit) ** 2
        some = evenly(len(y), DECIDING)
        best = self._likeliest(kernels, sizes, some)
        if len(some) < len(y):
            best = self._fit(best.kernel, torch.arange(len(y)), near(best.noise))
        self._take(best)

    def _take(self, fit: "Fit") -> None:
        self.kernel, self.noise, self._factor = fit.kernel, fit.noise, fit.factor
        self._weights, self._variance = fit.weights, fit.variance
        self.likelihood = fit.likelihood

    @property
    def unit(self) -> float:
        return float(self._unit)

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Predict rewards from features (n, m): means and standard deviations, (n,) each, with gradients."""
        x = self._features(features)
        mean, known = self._known(x)
        deviation = ((self.kernel.own(x) + LEVEL - (known**2).sum(0)).clamp_min(1e-9) * self._variance).sqrt()
        return mean, self._unit * deviation

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict rewards from features (k, m) together: means (k,), covariances (k, k), and a score's own variance."""
        x = self._features(features)
        mean, known = self._known(x)
        scale = self._variance * self._unit**2
        return mean, (self._covariance(x, x) - known.T @ known) * scale, self.noise * scale

    def left_out(self) -> Tensor:
        """Predict every reward from all the others, (n,) (Rasmussen and Williams 2006, eq. 5.12)."""
        diagonal = torch.cholesky_inverse(self._factor).diagonal()
        predictions: Tensor = self._mean + self._unit * (self._y - self._weights / diagonal)
        return predictions

    def _known(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (k,), and a matrix (n, k) the squares of whose columns sum to the variance that is known."""
        kernel = self._towards(x)
        known = torch.linalg.solve_triangular(self._factor, kernel, upper=False)
        return self._mean + self._unit * (kernel.T @ self._weights), known

    def _covariance(self, x: Tensor, other: Tensor) -> Tensor:
        return self.kernel(x, other) + LEVEL

    def _towards(self, x: Tensor) -> Tensor:
        """Return the covariance of the known rewards with those of x (k, m), (n, k)."""
        return self._covariance(self._x, x)

    def _among(self, gram: Tensor, rows: Tensor) -> Tensor:
        """Return the covariance of some of the known rewards from their kernel, (n, n)."""
        return gram + LEVEL

    def _likeliest(self, kernels: tuple[Kernel, ...], sizes: Sequence[int], rows: Tensor) -> "Fit":
        """Choose a kernel by some of the rewards."""
        families = columns_of(sizes) or [slice(0, self._x.shape[1])]
        alone = []
        for columns in families:
            given = products(self._x[rows, columns], self._x[rows, columns])
            grams = [kernel.of_products(given) for kernel in kernels]
            fits = [self._fit_gram(kernel, gram, rows) for kernel, gram in zip(kernels, grams, strict=True)]
            best = max(range(len(fits)), key=lambda place: fits[place].likelihood)
            alone.append((fits[best], grams[best], columns))
        if len(families) == 1:
            return alone[0][0]
        alone.sort(key=lambda one: -one[0].likelihood)
        first, gram, columns = alone[0]
        assert isinstance(first.kernel, Kernel)
        found = replace(first, kernel=KernelSum(((1.0, columns, first.kernel),)))
        for other, its_gram, columns in alone[1:]:
            assert isinstance(other.kernel, Kernel)
            assert isinstance(found.kernel, KernelSum)
            wider = []
            for share in _SHARES:
                both = (1 - share) * gram + share * its_gram
                wider.append((self._fit_gram(found.kernel.with_part(share, columns, other.kernel), both, rows), both))
            best_wider = max(wider, key=lambda one: one[0].likelihood)
            if best_wider[0].likelihood > found.likelihood:
                found, gram = best_wider
        return found

    def _fit(self, kernel: AnyKernel, rows: Tensor, noises: tuple[float, ...] = NOISES) -> "Fit":
        """Fit a kernel to some of the rewards, with the most likely of some noises."""
        return self._fit_gram(kernel, kernel(self._x[rows], self._x[rows]), rows, noises)

    def _fit_gram(self, kernel: AnyKernel, gram: Tensor, rows: Tensor, noises: tuple[float, ...] = NOISES) -> "Fit":
        """Fit a kernel whose values of all pairs of some rows are known, (n, n)."""
        y, covariance, fits = self._y[rows], self._among(gram, rows), []
        for noise in noises:
            factor = torch.linalg.cholesky(covariance + (noise + self._errors[rows]).diag())
            weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
            variance = (y @ weights / len(y)).clamp_min(1e-12)
            likelihood = float(-len(y) * variance.log() - 2 * factor.diagonal().log().sum())
            fits.append(Fit(kernel, noise, factor, weights, variance, likelihood))
        return max(fits, key=lambda fit: fit.likelihood)


@dataclass(frozen=True, slots=True)
class Fit:
    """A kernel and a noise: the factor of their covariance, the weights of the rewards, and how likely they are."""

    kernel: AnyKernel
    noise: float
    factor: Tensor
    weights: Tensor
    variance: Tensor
    likelihood: float
