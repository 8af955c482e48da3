"""A Gaussian process of a utility that is known by choices alone, whose predictions have gradients."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zo_dno.surrogate.chosen_sets import chosen_together
from zo_dno.surrogate.kernels import AnyKernel, Kernel, equal_sum
from zo_dno.surrogate.process import Standardized
from zo_dno.types import Choice

_LENGTHS, _MIXES = (0.5, 1.0, 2.0), (0.0, 0.5)
_AMPLITUDES = (0.5, 1.5, 4.0)  # standard deviations of the utility among images; a difference of 1 is chosen 73:27
_NEWTON = 100  # steps to the mode at most
_JITTER = 1e-6
SCALES = (0.5, 1.0, 2.0, 4.0)  # factors of predicted utilities that evidence is computed with
SLIPS = 0.1  # share of choices that tell nothing


class PreferenceProcess:
    """A Gaussian process of the utility behind choices: Plackett-Luce with slips, by Laplace's method.

    A choice is made at random with the probability `slips`, else with the softmax of the utilities. The most likely
    kernel and amplitude of a grid are taken (Rasmussen and Williams 2006, sections 3.4 and 3.5). Where the slips make
    the curvature of a choice negative in a direction, it counts as 0 there.

    Args:
        features: Features of the images, (n, m).
        choices: Choices among these images.
        slips: Probability that a choice tells nothing, below 1.
        sizes: Number of features of each family, which count equally; by default all are one family.
    Attributes:
        mode: Most likely utility of every image, (n,); their mean says nothing.
        evidence: Logarithm of the marginal likelihood.
        unit: Unit of utilities, a difference of which is chosen 73:27.
    """

    unit = 1.0

    def __init__(
        self, features: Tensor, choices: Sequence[Choice], slips: float = SLIPS, sizes: Sequence[int] = ()
    ) -> None:
        self._features = Standardized(features)
        stages = _Likelihood([stage for choice in choices for stage in choice.stages], len(features), slips)
        fits = [
            _Laplace(self._features.x, equal_sum(Kernel(length, mix), sizes), amplitude, stages)
            for length in _LENGTHS
            for mix in _MIXES
            for amplitude in _AMPLITUDES
        ]
        self._fit = max(fits, key=lambda fit: fit.evidence)
        self.mode, self.evidence = self._fit.mode, self._fit.evidence

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Predict utilities from features (k, m): means and standard deviations, (k,) each, with gradients."""
        mean, root, left = self._fit.predicted(self._features(features))
        own = self._fit.own(self._features(features))
        variance = own - (root**2).sum(0) + (left**2).sum(0)
        return mean, variance.clamp_min(1e-12).sqrt()

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict utilities from features (k, m) together: means (k,), covariances (k, k), and a choice's variance.

        The last number is the inverse of the information in one choice between two equal images, 1/4.
        """
        x = self._features(features)
        mean, root, left = self._fit.predicted(x)
        covariance = self._fit.prior(x, x) - root.T @ root + left.T @ left
        return mean, covariance, torch.tensor(4.0, dtype=torch.float64)


def log_odds_against_chance(utilities: Tensor, choices: Sequence[Choice], slips: float = SLIPS) -> float:
    """Return by how much choices are likelier with utilities (n,) that were predicted than by chance, in nats.

    Of choices made at random its exponential is 1 on average, and above k in at most one of k searches, however long
    they go on (Ville's inequality).
    """
    stages = [stage for choice in choices for stage in choice.stages]
    by_chance = -sum(math.log(math.comb(len(shown), len(chosen))) for chosen, shown in stages)
    return float(_Likelihood(stages, len(utilities), slips).likelihood(utilities.double())) - by_chance


def evidence_of(log_odds: Sequence[Sequence[float]]) -> float:
    """Return the evidence of several rounds, (rounds, scales): the logarithm of the mean of the odds over the scales.

    How far apart utilities are is not known at first; a mean of such odds is one itself.
    """
    products = torch.tensor(log_odds, dtype=torch.float64).sum(0)
    return float(products.logsumexp(0)) - math.log(len(products))


_Stage = tuple[tuple[int, ...], tuple[int, ...]]  # what was chosen, and what it was chosen from


class _Likelihood:
    """The likelihood of choices of images and of sets: its logarithm, gradient and information at utilities (n,)."""

    def __init__(self, stages: Sequence[_Stage], n: int, slips: float) -> None:
        single, several = ([stage for stage in stages if (len(stage[0]) > 1) == more] for more in (False, True))
        self._parts: list[_Stages | _Sets] = [_Stages(single, n, slips)] if single or not several else []
        self._parts += [_Sets(several, n, slips)] if several else []

    def likelihood(self, utility: Tensor) -> Tensor:
        """Return the log-likelihood alone."""
        return torch.stack([part.likelihood(utility) for part in self._parts]).sum()

    def __call__(self, utility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log-likelihood, its gradient (n,) and its negative curvature (n, n), cut at 0."""
        likelihoods, gradients, informations = zip(*(part(utility) for part in self._parts), strict=True)
        return torch.stack(likelihoods).sum(), torch.stack(gradients).sum(0), torch.stack(informations).sum(0)


class _Sets:
    """The likelihood of sets that were chosen together."""

    def __init__(self, stages: Sequence[_Stage], n: int, slips: float) -> None:
        width = max(len(shown) for _, shown in stages)
        self._shown, self._there = (torch.zeros(len(stages), width, dtype=kind) for kind in (torch.long, torch.bool))
        self._chosen = torch.zeros_like(self._there)
        for row, (chosen, shown) in enumerate(stages):
            self._shown[row, : len(shown)] = torch.tensor(shown)
            self._there[row, : len(shown)] = True
            self._chosen[row, : len(shown)] = torch.tensor([one in chosen for one in shown])
        ways = [math.comb(len(shown), len(chosen)) for chosen, shown in stages]
        self._n, self._slips, self._by_chance = n, slips, slips / torch.tensor(ways, dtype=torch.float64)

    def likelihood(self, utility: Tensor) -> Tensor:
        """Return the log-likelihood alone."""
        return ((1 - self._slips) * self._together(utility)[0].exp() + self._by_chance).log().sum()

    def __call__(self, utility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log-likelihood, its gradient (n,) and its negative curvature (n, n), cut at 0."""
        log_p, slope, curvature = self._together(utility)
        chosen = (1 - self._slips) * log_p.exp()
        likely = chosen + self._by_chance
        weight = chosen / likely  # probability that the choice was none of the slips
        gradient = torch.zeros_like(utility).index_put_((self._shown,), weight[:, None] * slope, accumulate=True)
        # the curvature less c slope slope' is positive up to c = 1 / (slope' curvature^-1 slope)
        inverse = torch.linalg.pinv(curvature, hermitian=True)
        most = 1 / torch.einsum("na,nab,nb->n", slope, inverse, slope).clamp_min(1e-300)
        slipped = torch.minimum(1 - weight, most)
        blocks = weight[:, None, None] * (curvature - slipped[:, None, None] * slope[:, :, None] * slope[:, None, :])
        return likely.log().sum(), gradient, _added(blocks, self._shown, self._n)

    def _together(self, utility: Tensor) -> list[Tensor]:
        found = chosen_together(utility[self._shown].numpy(), self._chosen.numpy(), self._there.numpy())
        return [torch.from_numpy(one) for one in found]


def _added(blocks: Tensor, shown: Tensor, n: int) -> Tensor:
    """Add the blocks (m, w, w) of a matrix (n, n) at their images (m, w)."""
    rows, columns = (one.expand_as(blocks) for one in (shown[:, :, None], shown[:, None, :]))
    return torch.zeros(n, n, dtype=blocks.dtype).index_put_((rows, columns), blocks, accumulate=True)


class _Stages:
    """The likelihood of choices of single images."""

    def __init__(self, stages: Sequence[_Stage], n: int, slips: float) -> None:
        width = max((len(shown) for _, shown in stages), default=1)
        self._shown = torch.zeros(len(stages), width, dtype=torch.long)
        self._there = torch.zeros(len(stages), width, dtype=torch.bool)
        for row, ((best,), rivals) in enumerate(stages):
            shown = (best, *(one for one in rivals if one != best))
            self._shown[row, : len(shown)] = torch.tensor(shown)
            self._there[row, : len(shown)] = True
        self._n, self._slips = n, slips

    def likelihood(self, utility: Tensor) -> Tensor:
        """Return the log-likelihood alone."""
        share = utility[self._shown].masked_fill(~self._there, -torch.inf).softmax(1)
        return ((1 - self._slips) * share[:, 0] + self._slips / self._there.sum(1)).log().sum()

    def __call__(self, utility: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the log-likelihood, its gradient (n,) and its negative curvature (n, n), cut at 0."""
        share = utility[self._shown].masked_fill(~self._there, -torch.inf).softmax(1)
        count = self._there.sum(1)
        chosen = (1 - self._slips) * share[:, 0]
        likely = chosen + self._slips / count
        weight = chosen / likely  # probability that the choice was none of the slips
        first = torch.zeros_like(share)
        first[:, 0] = 1.0
        gradient = torch.zeros_like(utility).index_put_(
            (self._shown,), weight[:, None] * (first - share) * self._there, accumulate=True
        )
        behind = first - share
        best = share[:, 0]
        slipped = torch.minimum(1 - weight, best / (1 - best).clamp_min(1e-300))  # beyond that it would be negative
        blocks = torch.diag_embed(share) - share[:, :, None] * share[:, None, :]
        blocks = weight[:, None, None] * (blocks - slipped[:, None, None] * behind[:, :, None] * behind[:, None, :])
        return likely.log().sum(), gradient, _added(blocks, self._shown, self._n)


class _Laplace:
    """The posterior of utilities with one kernel, in the coordinates w with utility = root w."""

    def __init__(self, x: Tensor, kernel: AnyKernel, amplitude: float, stages: _Likelihood) -> None:
        self._x, self._kernel, self._variance = x, kernel, amplitude**2
        self._root = torch.linalg.cholesky(self.prior(x, x) + _JITTER * self._variance * torch.eye(len(x)).double())
        w = torch.zeros(len(x), dtype=torch.float64)
        best = self._posterior(w, stages)
        for _ in range(_NEWTON):
            _, gradient, information = stages(self._root @ w)
            curvature = torch.eye(len(w)).double() + self._root.T @ information @ self._root
            step = torch.linalg.solve(curvature, self._root.T @ gradient - w)
            lengths = (0.5**halvings for halvings in range(14))
            better = (w + length * step for length in lengths)
            found = next((one for one in better if self._posterior(one, stages) > best + 1e-9), None)
            if found is None:
                break
            w, best = found, self._posterior(found, stages)
        likelihood, _, information = stages(self._root @ w)
        curvature = torch.eye(len(w)).double() + self._root.T @ information @ self._root
        self._factor = torch.linalg.cholesky(curvature)
        self.mode, self._w = self._root @ w, w
        self.evidence = float(likelihood - w @ w / 2 - self._factor.diagonal().log().sum())

    def _posterior(self, w: Tensor, stages: _Likelihood) -> float:
        return float(stages.likelihood(self._root @ w) - w @ w / 2)

    def prior(self, x: Tensor, other: Tensor) -> Tensor:
        return self._variance * self._kernel(x, other)

    def own(self, x: Tensor) -> Tensor:
        return self._variance * self._kernel.own(x)

    def predicted(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (k,), and two matrices (n, k).

        The squares of the first one's columns sum to the variance that exact utilities would explain, those of the
        second one's to the part of it that the choices leave open.
        """
        known = torch.linalg.solve_triangular(self._root, self.prior(self._x, x), upper=False)
        left = torch.linalg.solve_triangular(self._factor, known, upper=False)
        return known.T @ self._w, known, left
