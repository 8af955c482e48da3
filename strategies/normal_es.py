"""An evolution strategy on the Gaussian shell that takes as much from each rank as there is to learn from it."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.ranking import rank_values
from zo_dno.strategy import Problem


class NormalES(PopulationStrategy):
    """Move a mean by all noise that was asked about, weighted with the normal scores of its ranks.

    Those are the best weights of an evolution strategy in many dimensions (Arnold 2006, "Weighted multirecombination
    evolution strategies"): bad candidates say as much of where not to go as good ones of where to go. Candidates are
    the mean plus noise of width 1, put on the shell. Nothing else adapts: as the mean grows, candidates turn by ever
    smaller angles. Noise of different candidates is nearly orthogonal in many dimensions, so that the mean's norm is
    known beforehand, whatever the reward, and steps can be as long as the planned number of queries needs.

    Args:
        reach: norm of the mean after all queries that are planned, in sqrt(d): the last candidates are turned by the
            angle of cotangent `reach`, 10 degrees for 5.7. Larger ones search closer to what was found, sooner.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_mean", "_noise")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_noise",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, population: int = 16, reach: float = 5.7) -> None:
        super().__init__(problem, population=population)
        if not reach > 0:
            raise InputError(f"reach must be above 0; got {reach}. 4 to 8 are usual.")
        self._step = reach * math.sqrt(population / problem.horizon)
        self._mean, self._width = first_gaussian(self.start, self.has_init)
        self._noise = torch.empty(0, self.d)

    @property
    def step_size(self) -> float:
        """Part of a candidate that is fresh noise: the sine of the angle by which it is turned."""
        return self._width / math.hypot(self._width, float(self._mean.norm()) / math.sqrt(self.d))

    def _sample(self) -> Tensor:
        self._noise = self.randn(self.population)
        z = self.retract(torch.add(self._mean, self._noise, alpha=self._width))
        if self._first_id == 0:
            self._noise[0] = (self.start - self._mean) / self._width
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        weights = rank_values(scores, normal_scores)
        step = self._step * self._width / float(normal_scores(max(2, len(scores))).norm())
        self._mean = self._mean + step * (weights @ self._noise)  # with ties a shorter step: they say less


def normal_scores(m: int) -> Tensor:
    """Expected order statistics of m normal numbers, the largest first (Blom 1958)."""
    scores: Tensor = torch.special.ndtri((m - torch.arange(m) - 0.375) / (m + 0.25))
    return scores
