"""NSGA-II by pymoo for the front of several rewards, with operators that keep Gaussian noise Gaussian."""

from copy import deepcopy
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.rng import stream_seed
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.replayed import ReplayedStrategy
from zo_dno.strategy import Measured, Problem

MIN_POPULATION = 4  # a tournament of two for each of two parents
_WORST = 1e9  # violation of a candidate that can never win, which is finite for pymoo


class NSGA2(ReplayedStrategy):
    """Keep the non-dominated and least crowded candidates, and breed from them (NSGA-II, Deb et al. 2002).

    Selection and survival are pymoo's (Blank and Deb 2020). Its usual operators work between bounds, and leave the
    shell on which Gaussian noise of many dimensions lies. So the first candidates are prior draws (or lie around
    `init`), a child is a sqrt-weighted sum of two parents by a random angle, it is turned by fresh noise as
    sqrt(1 - step^2) child + step noise, and every candidate is put on the shell draw by draw. Infeasible candidates
    rank below all feasible ones, by their violation. Candidates without a score are left out.

    Args:
        step: Share of fresh noise in a child.
        crossover: Share of pairs of parents that are mixed; others are only turned.
        population: Number of candidates per `ask`, and of those that survive.
    """

    searches_fronts: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, population: int = 16, step: float = 0.3, crossover: float = 0.9) -> None:
        super().__init__(problem, population=population)
        if population < MIN_POPULATION:
            raise InputError(f"population must be at least {MIN_POPULATION} with nsga2; got {population}.")
        if not (0 < step <= 1 and 0 <= crossover <= 1):
            raise InputError(f"step must be above 0 and at most 1, and crossover 0 to 1; got {step} and {crossover}.")
        if find_spec("pymoo") is None:
            raise InputError("nsga2 needs pymoo, which is not installed: pip install 'zo-dno[fronts]'.")
        self.step, self.crossover, self._rewards = step, crossover, problem.rewards
        self._measured: Measured | None = None
        self._taught: list[Tensor] = []  # values and violations of the populations, as pymoo was told them
        self._rebuild()

    @property
    def step_size(self) -> float:
        return self.step

    def tell_measured(self, measured: Measured) -> None:
        """Take what was measured of the images whose scores are told next."""
        self._measured = measured

    def _build(self, numpy: OwnGlobalNumpy) -> None:
        from zo_dno.strategies.pymoo_operators import algorithm

        mean, width = first_gaussian(self.start, self.has_init)
        seed = stream_seed(self._seed, "pymoo")
        self._algorithm: Any = algorithm(
            mean.double().numpy(), width, self.population, self._rewards, self.step, self.crossover, seed
        )
        self._asked_of_pymoo: Any = None

    def _propose(self) -> Tensor:
        self._asked_of_pymoo = self._algorithm.ask()
        proposed = torch.from_numpy(self._asked_of_pymoo.get("X")).float()
        if not self._algorithm.is_initialized and not self._first_id:
            proposed[0] = self.start
        z = self.retract(proposed)
        if not self._algorithm.is_initialized and not self._first_id:
            z[0] = self.start
        self._asked_of_pymoo.set("X", z.double().numpy())
        return z

    def _learn(self, scores: Tensor) -> None:
        measured, self._measured = self._measured, None
        if measured is None or measured.values is None or measured.violations is None:
            outcome = torch.cat([scores[:, None].double().expand(-1, self._rewards), torch.zeros(len(scores), 1)], 1)
        else:
            outcome = torch.cat([measured.values, measured.violations.clamp_max(_WORST)[:, None]], 1)
        self._taught.append(outcome)
        self._teach(outcome)

    def _teach(self, outcome: Tensor) -> None:
        """Tell pymoo values and violations (n, m + 1), without the candidates that lack a value."""
        from zo_dno.strategies.pymoo_operators import evaluated

        there = ~outcome.isnan().any(1)
        if bool(there.any()):
            told = evaluated(self._algorithm.problem, self._asked_of_pymoo, outcome.numpy(), there.numpy())
            self._algorithm.tell(infills=told)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_taught": deepcopy(self._taught)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first_id = 0
        self._rebuild()
        taught = state["_taught"]
        with self._numpy.swapped_in():
            for place in range(len(state["_history"]) + bool(len(state["_scores"]))):
                self._propose()
                self._first_id = 1  # only the first population holds the start
                if place < len(taught):
                    self._teach(taught[place])
        PopulationStrategy.load_state_dict(self, state)
        self._history, self._taught = deepcopy(state["_history"]), deepcopy(taught)
