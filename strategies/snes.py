"""The separable natural evolution strategy: a Gaussian with one width a coordinate that follows ranks."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.ranking import rank_values
from zo_dno.strategy import Problem


class SNES(PopulationStrategy):
    """Follow the natural gradient of a separable Gaussian (Schaul et al. 2011; Wierstra et al. 2014, arXiv:1106.4487).

    The first candidates are prior draws (or lie around `init`); all are put on the shell. The mean is not: as it grows
    against the widths, candidates turn by ever smaller angles, so the search anneals by itself.

    Args:
        mean_rate: Learning rate of the mean; the papers have 1, but 2 does better within 2,048 queries
            (docs/strategies.md).
        sigma_rate: Learning rate of the widths; 0 takes the papers' (3 + ln d) / (5 sqrt d).
    """

    STATE: ClassVar[tuple[str, ...]] = ("_mu", "_sigma", "_s")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_s",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        mean_rate: float = 2.0,
        sigma_rate: float = 0.0,
    ) -> None:
        super().__init__(problem, population=population)
        if not mean_rate > 0:
            raise InputError(f"mean_rate must be above 0; got {mean_rate}. 1 is the papers'.")
        if not sigma_rate >= 0:
            raise InputError(f"sigma_rate must be at least 0; got {sigma_rate}. 0 takes the papers'.")
        self._eta_mu = mean_rate
        papers_rate = (3 + math.log(self.d)) / (5 * math.sqrt(self.d))  # Wierstra et al. 2014, table 1
        self._eta_sigma = sigma_rate or papers_rate
        self._mu, sigma = first_gaussian(self.start, self.has_init)
        self._sigma = torch.full((self.d,), sigma)
        self._s = torch.empty(0, self.d)

    @property
    def step_size(self) -> float:
        return float(self._sigma.mean())

    def _sample(self) -> Tensor:
        self._s = self.randn(self.population)  # ~ N(0, I)
        z = self.retract(torch.addcmul(self._mu, self._sigma, self._s))  # z = mu + sigma s
        if self._first_id == 0:
            self._s[0] = (self.start - self._mu) / self._sigma
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        u = rank_values(scores, utilities)
        self._mu = self._mu + self._eta_mu * self._sigma * (u @ self._s)
        curvature = torch.zeros(self.d)
        for u_k, s_k in zip(u.tolist(), self._s, strict=True):  # row by row: s^2 would be one more population
            curvature.addcmul_(s_k, s_k, value=u_k)  # the utilities sum to 0, so the -1 of s^2 - 1 drops out
        self._sigma = self._sigma * curvature.mul_(self._eta_sigma / 2).exp_()


def utilities(m: int) -> Tensor:
    """Return utilities of m ranks, the best one's first, summing to 0 (Wierstra et al. 2014, section 3.1)."""
    raw = (math.log(m / 2 + 1) - torch.arange(1, m + 1).log()).clamp_min(0)
    return raw / raw.sum() - 1 / m
