"""Annealed hill climbing whose proposals keep the prior."""

from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import rotate
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import INIT_STEP
from zo_dno.strategy import Problem


class HillClimb(PopulationStrategy):
    """Rotate the best noise so far by ever smaller angles, and keep what is better; ties keep the incumbent.

    A proposal is sqrt(1 - b^2) best + b eps (preconditioned Crank-Nicolson), so without selection it stays a prior
    draw. b falls geometrically from `first_step` to `last_step` over the horizon.

    Args:
        first_step: b at the start; 1 forgets the incumbent, and is lowered to 0.5 when `init` is given.
        last_step: b at the end of the horizon and after it.
        fresh: Share of every population that is drawn from the prior.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_best", "_best_score")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        first_step: float = 1.0,
        last_step: float = 0.1,
        fresh: float = 0.05,
    ) -> None:
        super().__init__(problem, population=population)
        if not last_step > 0:
            raise InputError(f"last_step must be above 0; got {last_step}. 0 would repeat the best noise.")
        if not last_step <= first_step <= 1:
            raise InputError(f"first_step must be in [last_step, 1] = [{last_step}, 1]; got {first_step}.")
        if not 0 <= fresh <= 1:
            raise InputError(f"fresh must be in [0, 1]; got {fresh}. It is a share of the population.")
        self.first_step = min(first_step, max(INIT_STEP, last_step)) if self.has_init else first_step
        self.last_step, self.fresh = last_step, fresh
        self._best, self._best_score = self.start, float("-inf")

    @property
    def step_size(self) -> float:
        return float(self.first_step * (self.last_step / self.first_step) ** self.progress)

    @property
    def n_prior(self) -> int:
        return super().n_prior if self.first_step == 1 else 0

    def _sample(self) -> Tensor:
        noise = self.randn(self.population)
        z = rotate(self._best, noise, self.step_size)
        fresh = torch.rand(self.population, generator=self.rng) < self.fresh
        z[fresh] = noise[fresh]
        if self._first_id == 0:
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        row = int(scores.nan_to_num(nan=-torch.inf).argmax())
        if float(scores[row]) > self._best_score:
            self._best, self._best_score = z[row].clone(), float(scores[row])
