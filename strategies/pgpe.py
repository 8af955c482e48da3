"""Policy gradients with parameter-based exploration: mirrored draws of a Gaussian with one width a coordinate."""

from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.ranking import centred_ranks, rank_values
from zo_dno.strategy import Problem


class PGPE(PopulationStrategy):
    """Follow the likelihood gradient of mean and widths over mirrored draws (Sehnke et al. 2010), by ranks.

    The first candidates are prior draws and their mirror images (or lie around `init`); all are put on the shell.

    Args:
        mean_rate: Learning rate of the mean, in widths.
        sigma_rate: Learning rate of the widths.
        population: Number of candidates per `ask`, at least 4.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_mu", "_sigma", "_s")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_s",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self, problem: Problem, *, population: int = 16, mean_rate: float = 4.0, sigma_rate: float = 0.1
    ) -> None:
        super().__init__(problem, population=population)
        if population < 4:
            raise InputError(f"population must be at least 4, two mirrored pairs; got {population}.")
        if not (mean_rate > 0 and sigma_rate >= 0):
            raise InputError(f"mean_rate must be above 0, sigma_rate at least 0; got {mean_rate} and {sigma_rate}.")
        self._eta_mu, self._eta_sigma = mean_rate, sigma_rate
        self._mu, sigma = first_gaussian(self.start, self.has_init)
        self._sigma = torch.full((self.d,), sigma)
        self._s = torch.empty(0, self.d)

    @property
    def n_prior(self) -> int:
        return 0  # a draw and its mirror image are not independent

    @property
    def step_size(self) -> float:
        return float(self._sigma.mean())

    def _sample(self) -> Tensor:
        self._s = self.randn(self.population // 2)
        if self._first_id == 0:
            self._s[0] = (self.start - self._mu) / self._sigma
        moves = self._sigma * self._s
        z = self.retract(torch.cat([self._mu + moves, self._mu - moves]))
        if self._first_id == 0:
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        ranks = rank_values(scores, centred_ranks)  # missing ones get the middle, 0
        plus, minus = ranks.chunk(2)
        complete = ~scores.isnan().view(2, -1).any(0)
        if not bool(complete.any()):
            return
        slope = torch.where(complete, (plus - minus) / 2, 0.0) / complete.sum()
        height = torch.where(complete, (plus + minus) / 2, 0.0) / complete.sum()
        curvature = torch.zeros(self.d)
        for weight, row in zip(height.tolist(), self._s, strict=True):  # row by row: s^2 would be one more population
            curvature.addcmul_(row, row, value=weight).sub_(weight)
        self._mu = self._mu + self._eta_mu * self._sigma * (slope @ self._s)
        self._sigma = self._sigma * curvature.mul_(self._eta_sigma).clamp_(-0.2, 0.2).exp_()
