"""A Gaussian process of the reward that also knows the rewards of earlier prompts, whose images differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zo_dno.surrogate.kernels import KERNELS
from zo_dno.surrogate.process import DECIDING, LEVEL, Fit, GaussianProcess, Standardized, evenly, near

CORRELATIONS = (0.5, 0.9, 1.0)  # of the reward's dependence on features, between two prompts; 0 is no earlier rows
_ASSUMED = 0.9  # while the kernel is chosen


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """Scored images of earlier prompts.

    Attributes:
        features: Features of the images, (n, m).
        rewards: Rewards of the images, (n,).
        prompts: Number of each image's prompt, (n,).
    """

    features: Tensor
    rewards: Tensor
    prompts: Tensor

    def __len__(self) -> int:
        return len(self.rewards)


class ProcessAcrossPrompts(GaussianProcess):
    """A Gaussian process in which what the features mean is correlated between prompts.

    The covariance of two rewards is the kernel of the images if they are of one prompt, and `correlation` times that
    if they are not (the intrinsic coregionalisation model with one correlation for all pairs of tasks; Bonilla et al.
    2007, Swersky et al. 2013). Each prompt has a mean reward of its own, which is not known. All rewards have one unit:
    those of a finished search spread several times farther than the first draws of the next one, so that units by the
    prompts' own spreads would not agree.

    Args:
        features: Features of the images, (n, m).
        rewards: Rewards of the images, (n,).
        earlier: Images of earlier prompts.
        sizes: Number of features of each family, in order; by default all are one family.
        errors: Standard errors of the rewards where they are known, (n,); 0 elsewhere.
    Attributes:
        correlation: Likeliest correlation of the grid, by the rewards of this prompt given those of the earlier ones.
        likelihood: Likelihood of the rewards of this prompt given those of the earlier ones, as that of a
            `GaussianProcess` without the latter.
    """

    def __init__(
        self,
        features: Tensor,
        rewards: Tensor,
        earlier: Earlier,
        sizes: Sequence[int] = (),
        errors: Tensor | None = None,
    ) -> None:
        self._features = Standardized(torch.cat([earlier.features, features]))
        self._x, self._own = self._features.x, len(earlier)
        own = rewards.double()
        self._mean = own.mean()
        centred = torch.cat([_centred(earlier.rewards.double(), earlier.prompts), own - self._mean])
        spread = centred.std(correction=0)
        self._unit = spread if float(spread) > 0 else torch.ones_like(spread)
        self._y = centred / self._unit
        known = torch.zeros_like(own) if errors is None else errors.double()
        self._errors = (torch.cat([torch.zeros(len(earlier)).double(), known]) / self._unit) ** 2
        prompts = torch.cat([earlier.prompts, torch.full((len(own),), -1)])
        self._same = prompts[:, None] == prompts
        self.correlation = _ASSUMED
        first = self._likeliest(KERNELS, sizes, self._deciding(len(own)))
        everyone, gram = torch.arange(len(prompts)), first.kernel(self._x, self._x)
        fits = []
        for self.correlation in CORRELATIONS:
            fits += [
                (self._fit_gram(first.kernel, gram, everyone, (noise,)), self.correlation)
                for noise in near(first.noise)
            ]
        likelihoods = [self._given_earlier(fit) for fit, _ in fits]
        best = max(range(len(fits)), key=likelihoods.__getitem__)
        fit, self.correlation = fits[best]
        self._take(fit)
        self.likelihood = likelihoods[best]

    def _deciding(self, own: int) -> Tensor:
        """Return the rows that decide about the kernel: at most half of them of this prompt."""
        mine = self._own + evenly(own, DECIDING // 2)
        return torch.cat([evenly(self._own, DECIDING - len(mine)), mine])

    def _among(self, gram: Tensor, rows: Tensor) -> Tensor:
        same = self._same[rows][:, rows]
        return torch.where(same, gram + LEVEL, self.correlation * gram)

    def _towards(self, x: Tensor) -> Tensor:
        kernel = self.kernel(self._x, x)
        return torch.cat([self.correlation * kernel[: self._own], kernel[self._own :] + LEVEL])

    def _given_earlier(self, fit: Fit) -> float:
        """Return the likelihood of this prompt's rewards given the earlier ones, from the factor of all."""
        whitened = torch.linalg.solve_triangular(fit.factor, self._y[:, None], upper=False)[self._own :, 0]
        variance = (whitened @ whitened / len(whitened)).clamp_min(1e-12) * self._unit**2
        return float(-len(whitened) * variance.log() - 2 * fit.factor.diagonal()[self._own :].log().sum())

    def left_out(self) -> Tensor:
        """Predict every reward of this prompt from all the others, (n,)."""
        diagonal = torch.cholesky_inverse(self._factor).diagonal()
        predictions: Tensor = self._mean + self._unit * (self._y - self._weights / diagonal)
        return predictions[self._own :]


def likelier(own: GaussianProcess, across: ProcessAcrossPrompts) -> GaussianProcess:
    """Return the process by which the rewards of this prompt are likelier, with or without those of earlier prompts."""
    count = len(own._y)
    return own if own.likelihood - count * float(own._unit.log()) * 2 >= across.likelihood else across


def _centred(rewards: Tensor, prompts: Tensor) -> Tensor:
    """Return rewards (n,) less the mean of those of the same prompt."""
    sums = torch.zeros(int(prompts.max()) + 1, 2, dtype=rewards.dtype)
    sums.index_add_(0, prompts, torch.stack([rewards, torch.ones_like(rewards)], 1))
    means: Tensor = sums[:, 0] / sums[:, 1]
    return rewards - means[prompts]
