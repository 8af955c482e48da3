"""An evolution strategy on the Gaussian shell that weights all ranks by normal scores."""

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
    """Move a mean by the noise of every scored candidate, weighted with the normal scores of its ranks.

    These are the best weights of an evolution strategy in many dimensions (Arnold 2006, "Weighted multirecombination
    evolution strategies"): a bad candidate tells as much about where not to go as a good one about where to go.
    Candidates are the mean plus noise of width 1, put on the shell. Nothing else adapts: as the mean grows, candidates
    turn by ever smaller angles. In many dimensions the noise of different candidates is nearly orthogonal, so the
    mean's norm is known in advance for any reward, and the step length follows from the planned number of
    queries.

    Args:
        reach: Norm of the mean after all planned queries, in sqrt(d); the last candidates are turned by the angle whose
            cotangent it is, 10 degrees for 5.7. Larger values search close to what was found sooner.
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
        """Share of a candidate that is fresh noise: the sine of the angle by which it is turned."""
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
        self._mean = self._mean + step * (weights @ self._noise)  # shorter with ties, which tell less


def normal_scores(m: int) -> Tensor:
    """Return the expected order statistics of m normal numbers, the largest first (Blom 1958)."""
    scores: Tensor = torch.special.ndtri((m - torch.arange(m) - 0.375) / (m + 0.25))
    return scores
