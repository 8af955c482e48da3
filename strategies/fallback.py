"""The rounds of a search with a surrogate in which its predictions are worth nothing."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zo_dno.rng import stream_seed
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.evolution import evolution
from zo_dno.strategy import Problem
from zo_dno.types import Candidates


class Fallback:
    """The evolution strategy that `auto` chooses without a surrogate, from the best candidate on.

    It continues until it is left.

    Args:
        problem: Problem of the whole search.
        population: Number of candidates.
    """

    def __init__(self, problem: Problem, population: int) -> None:
        self._problem, self._population = problem, population
        self._begun: dict[str, Any] = {}
        self._strategy: PopulationStrategy | None = None
        self._asked: Candidates | None = None

    def ask(self, best: Tensor, first_id: int) -> Tensor:
        """Propose a population, (n, d).

        Args:
            best: Best candidate, (d,), to begin from if it was left.
            first_id: Number of queries asked before.
        """
        if self._strategy is None:
            self._begin(best, first_id)
        assert self._strategy is not None
        if self._asked is not None:  # no score of the last population came
            self.tell(torch.full((len(self._asked),), torch.nan))
        self._asked = self._strategy.ask()
        return self._asked.z

    def tell(self, scores: Tensor) -> None:
        """Learn the scores of the population asked last, (n,), unless it is told already."""
        if self._strategy is not None and self._asked is not None:
            self._strategy.tell(self._asked, scores)
        self._asked = None

    def __str__(self) -> str:
        return "" if self._strategy is None else type(self._strategy).__name__

    def leave(self) -> None:
        """Begin anew in the next round."""
        self._strategy, self._asked = None, None

    def _begin(self, best: Tensor, first_id: int) -> None:
        left = max(self._population, self._problem.horizon - first_id)
        seed = stream_seed(self._problem.seed, "fallback", first_id)
        problem = replace(self._problem, horizon=left, seed=seed, init=best, start=None, surrogate=False)
        self._strategy = evolution(problem, self._population)
        self._begun = {"best": best, "first_id": first_id}

    def state_dict(self) -> dict[str, Any]:
        """Return the state; empty where it was left."""
        if self._strategy is None:
            return {}
        asked = None if self._asked is None else {"z": self._asked.z, "ids": list(self._asked.ids)}
        return {"begun": self._begun, "strategy": self._strategy.state_dict(), "asked": asked}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.leave()
        if not state:
            return
        self._begin(**state["begun"])
        assert self._strategy is not None
        self._strategy.load_state_dict(state["strategy"])
        asked = state["asked"]
        self._asked = asked and Candidates(asked["z"], tuple(asked["ids"]))
