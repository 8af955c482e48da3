"""Simulated annealing whose moves keep the prior."""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.noise.space import rotate
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.elites import spread_of
from zo_dno.strategies.prior import first_draws
from zo_dno.strategies.schedules import AnnealedStep
from zo_dno.strategy import Problem

Move = Literal["pcn", "slerp"]


class Annealing(PopulationStrategy):
    """Move to the best proposal of a population, and sometimes to a worse one (Kirkpatrick et al. 1983).

    A proposal that is worse by delta is accepted with probability exp(-delta / T). Over the horizon T falls from
    `temperature` standard deviations of the first population's scores to 0, and the angle of the moves falls with it.

    Args:
        move: Kind of proposal; "pcn" is sqrt(1 - b^2) z + b eps, whose norm follows the prior's; "slerp" turns on the
            sphere of z's norm.
        temperature: T at the start; NoiseSearch (Klein 2025) has 0.025 to 1 in the rewards' own units.
        first_step: b at the start; lowered to 0.5 when `init` is given.
        last_step: b at the end of the horizon and after it.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_score", "_unit")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        move: Move = "pcn",
        temperature: float = 0.2,
        first_step: float = 1.0,
        last_step: float = 0.1,
    ) -> None:
        super().__init__(problem, population=population)
        if move not in ("pcn", "slerp"):
            raise unknown_name("move", move, ("pcn", "slerp"))
        if not temperature >= 0:
            raise InputError(f"temperature must be at least 0; got {temperature}. 0 accepts nothing that is worse.")
        self.move, self.temperature = move, temperature
        self._annealed = AnnealedStep(first_step, last_step, self.has_init)
        self._z, self._score, self._unit = self.start, float("-inf"), 0.0

    @property
    def step_size(self) -> float:
        return self._annealed.at(self.progress)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        eps = self.randn(self.population)
        if self.move == "slerp":  # fresh noise on z's sphere, made orthogonal to z, so that sin is the step
            unit = self._z / self._z.norm()
            eps -= (eps @ unit)[:, None] * unit
            eps *= self._z.norm() / eps.norm(dim=1, keepdim=True)
        return rotate(self._z, eps, self.step_size)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        self._unit = self._unit or spread_of(scores)
        row = int(scores.nan_to_num(nan=-torch.inf).argmax())
        worse = self._score - float(scores[row])
        heat = self.temperature * self._unit * (1 - self.progress)
        chance = float(torch.rand((), generator=self.rng))
        if worse < 0 or (heat > 0 and chance < math.exp(-worse / heat)):
            self._z, self._score = z[row].clone(), float(scores[row])
