"""Zero-order search, whose pivot moves to the best of its neighbours at a fixed angle."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_draws
from zo_dno.strategy import Problem


class ZeroOrder(PopulationStrategy):
    """Propose neighbours z' = |z| (c u + sqrt(1 - c^2) w) of a pivot (Ma et al. 2025, arXiv:2501.09732).

    u is the pivot's direction and w a random one orthogonal to it, so the norm stays. The pivot moves when a neighbour
    is better. The first one is the best of a population from the prior (or around `init`).

    Args:
        similarity: Cosine c of neighbour and pivot; 0.95 is 18 degrees, as in the paper's code.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_pivot", "_best")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, population: int = 16, similarity: float = 0.95) -> None:
        super().__init__(problem, population=population)
        if not 0 <= similarity < 1:
            raise InputError(
                f"similarity must be in [0, 1); got {similarity}. It is the cosine of pivot and neighbour."
            )
        self.similarity = similarity
        self._pivot, self._best = self.start, float("-inf")

    @property
    def step_size(self) -> float:
        return math.sqrt(1 - self.similarity**2)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        unit = self._pivot / self._pivot.norm()
        w = self.randn(self.population)
        w.addr_(w @ unit, unit, alpha=-1)
        w.mul_(self._pivot.norm() * self.step_size / w.norm(dim=1, keepdim=True))
        return w.add_(self._pivot, alpha=self.similarity)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        row = int(scores.nan_to_num(nan=-torch.inf).argmax())
        if float(scores[row]) > self._best:
            self._pivot, self._best = z[row].clone(), float(scores[row])
