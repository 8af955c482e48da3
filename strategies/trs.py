"""Trust-region noise search: boxes around the best points ever seen, which grow on success and shrink on failure."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.elites import keep_best
from zo_dno.strategies.prior import first_draws
from zo_dno.strategy import Problem


class TRS(PopulationStrategy):
    """Search boxes around the global top k (Schweiger et al. 2026, arXiv:2603.14504).

    After a warm-up from the prior, each candidate belongs to one of the k best points ever seen. A random share of its
    coordinates, between a tenth and nine tenths, is drawn again in a box around that point. The side grows after three
    populations in a row with a new best, and shrinks after three without; below `min_side` it starts again.

    The paper's candidates may leave the shell, which alone raises some rewards. Here they are put on it. All boxes
    share one side and one count of populations with and without a new best; the authors' code keeps both for each box.

    Args:
        centres: Number k of best points.
        side: Side of the boxes at the start, 0.8 in the paper.
        factor: Factor by which the side grows and shrinks, 1.5 in the paper.
        max_side, min_side: Limits of the side.
        warm_up: Share of the horizon that is drawn from the prior.
        shell: Whether candidates are put on the Gaussian shell.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_elites", "_elite_scores", "_side", "_streak")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        centres: int = 8,
        side: float = 0.8,
        factor: float = 1.5,
        max_side: float = 2.4,
        min_side: float = 0.05,
        warm_up: float = 0.2,
        shell: bool = True,
    ) -> None:
        super().__init__(problem, population=population)
        if centres < 1:
            raise InputError(f"centres must be at least 1; got {centres}.")
        if not 0 < min_side <= side <= max_side:
            raise InputError(f"sides must be 0 < min_side <= side <= max_side; got {min_side}, {side}, {max_side}.")
        if not factor > 1:
            raise InputError(f"factor must be above 1; got {factor}.")
        if not 0 <= warm_up <= 1:
            raise InputError(f"warm_up must be in [0, 1]; got {warm_up}. It is a share of the horizon.")
        self.centres, self.first_side, self.factor, self.shell = centres, side, factor, shell
        self.max_side, self.min_side, self.warm_up = max_side, min_side, warm_up
        self._elites, self._elite_scores = torch.empty(0, self.d), torch.empty(0)
        self._side, self._streak = side, 0

    @property
    def step_size(self) -> float:
        return self._side / math.sqrt(12)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        if self.progress < self.warm_up or not len(self._elites):
            return self.randn(self.population)
        part = 0.1 + 0.8 * torch.rand(self.population, generator=self.rng)
        z = torch.rand(self.population, self.d, generator=self.rng).sub_(0.5).mul_(self._side)
        for row, share in enumerate(part.tolist()):  # row by row: a mask of all would be one more population
            z[row] *= torch.rand(self.d, generator=self.rng) < share
            z[row] += self._elites[row % len(self._elites)]
        return self.retract(z) if self.shell else z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        before = float(self._elite_scores[0]) if len(self._elites) else -math.inf
        warm = self.progress < self.warm_up or not len(self._elites)
        self._elites, self._elite_scores = keep_best(self._elites, self._elite_scores, z, scores, self.centres)
        if warm:
            return
        better = float(self._elite_scores[0]) > before
        self._streak = max(1, self._streak + 1) if better else min(-1, self._streak - 1)
        if self._streak == 3:
            self._side, self._streak = min(self.max_side, self._side * self.factor), 0
        elif self._streak == -3:
            self._side, self._streak = self._side / self.factor, 0
            if self._side < self.min_side:
                self._side = self.first_side
