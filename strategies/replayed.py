"""The base class of strategies around a library's optimizer, restored by telling it its scores again."""

from abc import abstractmethod
from copy import deepcopy
from typing import Any

from torch import Tensor

from zo_dno.rng import stream
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategy import Problem


class ReplayedStrategy(PopulationStrategy):
    """A strategy around an object that can only be pickled. Subclasses write `_build`, `_propose` and `_learn`.

    The state is the scores of every population. A restored instance asks and is told again, under its own numpy
    generator. This is exact with the same version of the library; with another one, the current candidates are the
    stored ones, independent of the replay.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
    ) -> None:
        super().__init__(problem, population=population)
        self._seed = problem.seed
        self._history: list[Tensor] = []  # scores of the populations before the current one

    @abstractmethod
    def _build(self, numpy: OwnGlobalNumpy) -> None:
        """Make a fresh optimizer whose every random number comes from `numpy`."""

    @abstractmethod
    def _propose(self) -> Tensor:
        """Ask the optimizer for the next population, (n, d), not yet on the shell."""

    @abstractmethod
    def _learn(self, scores: Tensor) -> None:
        """Tell the optimizer the scores (n,) of its last proposal; missing ones are NaN, and all may be missing."""

    def _rebuild(self) -> None:
        self.rng = stream(self._seed, "strategy")
        self._numpy = OwnGlobalNumpy(self._seed)
        with self._numpy.swapped_in():
            self._build(self._numpy)

    def _sample(self) -> Tensor:
        with self._numpy.swapped_in():
            if len(self._scores):
                self._history.append(self._scores)
                if bool(self._scores.isnan().all()):  # `_update` is not called for such a population
                    self._learn(self._scores.clone())
            proposed = self._propose()
        z = self.retract(proposed)
        if self._first_id == 0:
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        with self._numpy.swapped_in():
            self._learn(scores)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_history": deepcopy(self._history)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rebuild()
        with self._numpy.swapped_in():
            for scores in state["_history"]:
                self._propose()
                self._learn(scores.clone())
            if len(state["_scores"]):
                self._propose()
                if bool(state["_told"].all()) and not bool(state["_scores"].isnan().all()):
                    self._learn(state["_scores"].clone())
        super().load_state_dict(state)
        self._history = deepcopy(state["_history"])
