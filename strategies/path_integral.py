"""Path-integral search: steps towards weighted averages of the noise, put back on the shell."""

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

Weights = Literal["tanh", "softmax"]


class PathIntegral(PopulationStrategy):
    """Turn towards the average of the new noise, weighted by scores.

    Candidates are sqrt(1 - b^2) z + b eps. "softmax" weights are those of path-integral control (as ZeNO's, Kim et al.
    2026, arXiv:2605.11347); "tanh" weights also turn away from what is bad (Demon, Yeh et al. 2025, arXiv:2410.05760).
    The average of n draws is short, so it is put on the shell before z turns towards it.

    Args:
        weights: Function of the scores, "tanh" or "softmax".
        temperature: Temperature of the weights, in standard deviations of the population's scores.
        first_step: b at the start; lowered to 0.5 when `init` is given.
        last_step: b at the end of the horizon and after it.
        turn: Step of z towards the average, as a share of b.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_eps", "_step")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_eps", "_step")
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        weights: Weights = "tanh",
        temperature: float = 1.0,
        first_step: float = 1.0,
        last_step: float = 0.3,
        turn: float = 0.8,
    ) -> None:
        super().__init__(problem, population=population)
        if weights not in ("tanh", "softmax"):
            raise unknown_name("weights", weights, ("tanh", "softmax"))
        if not temperature > 0:
            raise InputError(f"temperature must be above 0; got {temperature}.")
        if not 0 < turn <= 1:
            raise InputError(f"turn must be in (0, 1]; got {turn}.")
        self.weights, self.temperature, self.turn = weights, temperature, turn
        self._annealed = AnnealedStep(first_step, last_step, self.has_init)
        self._z, self._eps, self._step = self.start, torch.empty(0, self.d), 1.0

    @property
    def step_size(self) -> float:
        return self._annealed.at(self.progress)

    def _sample(self) -> Tensor:
        self._step = self.step_size
        if self._first_id == 0:
            self._eps = first_draws(self)
            return self._eps
        self._eps = self.randn(self.population)
        return rotate(self._z, self._eps, self._step)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        unit = spread_of(scores) * self.temperature
        if unit == 0:  # all scores are equal
            return
        standard = (scores - scores.nanmean()) / unit
        if self.weights == "tanh":
            w = standard.tanh().nan_to_num(nan=0.0)
        else:
            w = standard.nan_to_num(nan=-torch.inf).softmax(0)
        average = self.retract(w @ self._eps)
        self._z = self.retract(rotate(self._z, average, self.turn * self._step))
