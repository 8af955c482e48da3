"""A genetic algorithm whose crossover and mutation keep the prior."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.elites import keep_best
from zo_dno.strategies.prior import first_draws
from zo_dno.strategies.schedules import AnnealedStep
from zo_dno.strategy import Problem


class Genetic(PopulationStrategy):
    """Cross elites as sqrt-weighted sums and mutate them by rotations (after He et al. 2025, arXiv:2505.17618).

    Independent Gaussians a and b give a Gaussian sqrt(w) a + sqrt(1 - w) b. Elites are not independent for long, so a
    child is put on the shell before it is mutated: sqrt(1 - b^2) child + b eps.

    Args:
        elites: Number of best candidates ever seen, among which parents are chosen.
        crossover: Share of the children that have two parents.
        first_step: b of the mutation at the start; lowered to 0.5 when `init` is given.
        last_step: b at the end of the horizon and after it; EvoSearch has 0.2 throughout.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_elites", "_elite_scores")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        elites: int = 6,
        crossover: float = 0.5,
        first_step: float = 0.9,
        last_step: float = 0.1,
    ) -> None:
        super().__init__(problem, population=population)
        if elites < 1:
            raise InputError(f"elites must be at least 1; got {elites}.")
        if not 0 <= crossover <= 1:
            raise InputError(f"crossover must be in [0, 1]; got {crossover}. It is a share of the children.")
        self.elites, self.crossover = elites, crossover
        self._annealed = AnnealedStep(first_step, last_step, self.has_init)
        self._elites, self._elite_scores = torch.empty(0, self.d), torch.empty(0)

    @property
    def step_size(self) -> float:
        return self._annealed.at(self.progress)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        if not len(self._elites):
            return self.randn(self.population)
        parents = torch.randint(len(self._elites), (self.population, 2), generator=self.rng)
        share = torch.rand(self.population, generator=self.rng)
        share[torch.rand(self.population, generator=self.rng) >= self.crossover] = 1.0
        z, step = self.randn(self.population).mul_(self.step_size), self.step_size
        for row, ((mother, father), part) in enumerate(zip(parents.tolist(), share.tolist(), strict=True)):
            child = math.sqrt(part) * self._elites[mother] + math.sqrt(1 - part) * self._elites[father]
            z[row].add_(self.retract(child), alpha=math.sqrt(1 - step**2))
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        self._elites, self._elite_scores = keep_best(self._elites, self._elite_scores, z, scores, self.elites)
