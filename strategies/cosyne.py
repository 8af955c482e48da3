"""Cooperative synapse neuroevolution, which permutes the values of a coordinate among members of a population."""

from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import rotate_in_place
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.elites import keep_best
from zo_dno.strategies.prior import first_draws
from zo_dno.strategy import Problem


class CoSyNE(PopulationStrategy):
    """Breed the best quarter, and permute coordinates of the other half (Gomez et al. 2008; Jajal et al. 2025).

    Half of a population are children of the best quarter ever seen: uniform crossover of two, then a rotation by
    `step`. The other half are the best candidates, and each coordinate's values are permuted among them with
    probability `permute`, which keeps them values of a Gaussian. All are put on the shell.

    Args:
        step: b of the mutation sqrt(1 - b^2) z + b eps; 0.1 in Jajal et al. (arXiv:2506.00299).
        permute: Probability that a coordinate is permuted.
        population: Number of candidates per `ask`, at least 4.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_elites", "_elite_scores")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, population: int = 16, step: float = 0.3, permute: float = 0.1) -> None:
        super().__init__(problem, population=population)
        if population < 4:
            raise InputError(f"population must be at least 4; got {population}.")
        for name, value in (("step", step), ("permute", permute)):
            if not 0 <= value <= 1:
                raise InputError(f"{name} must be in [0, 1]; got {value}.")
        self.step, self.permute = step, permute
        self._elites, self._elite_scores = torch.empty(0, self.d), torch.empty(0)

    @property
    def step_size(self) -> float:
        return self.step

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        if not len(self._elites):
            return self.randn(self.population)
        parents = self._elites[: max(1, self.population // 4)]
        n = self.population - min(len(self._elites), self.population // 2)
        z = torch.empty(self.population, self.d)
        pairs = torch.randint(len(parents), (n, 2), generator=self.rng).tolist()
        for child, (mother, father) in zip(z[:n], pairs, strict=True):
            coins = self.randn(1)[0].lt_(0)  # normal numbers are drawn faster than uniform ones
            torch.lerp(parents[father], parents[mother], coins, out=child)  # exactly one or the other
            rotate_in_place(child, self.randn(1)[0], self.step)
        z[n:] = self._elites[: self.population - n]
        self._permute(z[n:])
        return self.retract(z)

    def _permute(self, members: Tensor) -> None:
        """Permute the values of some coordinates among the members, in place."""
        moved = (torch.rand(self.d, generator=self.rng) < self.permute).nonzero()[:, 0]
        order = torch.rand(len(members), len(moved), generator=self.rng).argsort(0)
        members[:, moved] = members[:, moved].gather(0, order)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        self._elites, self._elite_scores = keep_best(self._elites, self._elite_scores, z, scores, self.population // 2)
