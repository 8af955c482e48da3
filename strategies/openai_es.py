"""An evolution strategy with mirrored probes, ranks and Adam."""

from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import rotate
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.estimators import central_difference
from zo_dno.strategies.ranking import centred_ranks, rank_values
from zo_dno.strategies.step_rules import adam, zero_moments
from zo_dno.strategy import Problem


class OpenAIES(PopulationStrategy):
    """Climb along central differences of ranks (Salimans et al. 2017, arXiv:1703.03864), on the shell.

    Probes are sqrt(1 - mu^2) z +- mu xi. Scores are replaced by evenly spaced ranks, so that only their order counts.

    Args:
        lr: Learning rate of Adam.
        momentum: beta_1 of Adam.
        mu: Share of a probe that is new noise.
        population: Number of candidates per `ask`, at least 3; the first one holds the start and one probe less.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_xi", "_moments", "_count")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_xi",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self, problem: Problem, *, population: int = 16, lr: float = 0.2, momentum: float = 0.9, mu: float = 0.3
    ) -> None:
        super().__init__(problem, population=population)
        if population < 3:
            raise InputError(f"population must be at least 3, one pair and the start; got {population}.")
        if not 0 < mu < 1:
            raise InputError(f"mu must be in (0, 1); got {mu}.")
        if not lr > 0:
            raise InputError(f"lr must be above 0; got {lr}.")
        self.lr, self.momentum, self.mu = lr, momentum, mu
        self._z, self._xi, self._moments, self._count = self.start, torch.empty(0, self.d), zero_moments(self.d), 0

    @property
    def n_prior(self) -> int:
        return 0  # probes surround the start

    @property
    def step_size(self) -> float:
        return self.mu

    def _sample(self) -> Tensor:
        first = self._first_id == 0
        self._xi = self.randn((self.population - first) // 2)
        probes = [rotate(self._z, self._xi, step) for step in (self.mu, -self.mu)]
        return torch.cat([self._z[None], *probes] if first else probes)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        probes = scores[-2 * len(self._xi) :]
        ranks = torch.where(probes.isnan(), torch.nan, rank_values(probes, centred_ranks))
        plus, minus = ranks.chunk(2)
        gradient = central_difference(self._xi, plus, minus, self.mu)
        if bool(gradient.isnan().any()):  # no pair is complete
            return
        self._count += 1
        self._z = self.retract(self._z + adam(gradient, self._moments, self._count, self.lr, self.momentum))
