"""The default strategy, which chooses another one by dimensions, budget and noise."""

from typing import Any

from torch import Tensor

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.snes import SNES
from zo_dno.strategy import Problem
from zo_dno.types import Candidates

FEW_DIMENSIONS = 48  # measured between 10 and 64 (docs/strategies.md)
FEW_QUERIES = 512  # up to which a population of 8 is better where widths are learnt


class Auto:
    """Choose a strategy by dimensions, budget and noise; docs/strategies.md has the measurements.

    Args:
        problem: Search problem.
        population: Candidates per `ask`; 0 chooses a number.
    Attributes:
        reason: The chosen strategy, and why it was chosen.
    """

    def __init__(self, problem: Problem, *, population: int = 0) -> None:
        d, queries = problem.d, problem.horizon
        many = d >= FEW_DIMENSIONS
        small = not problem.noisy and (many or queries <= FEW_QUERIES)
        size = population or max(4, min(8 if small else 16, queries // 4))
        if many and not problem.noisy:
            self.reason = (
                f"normal_es with a population of {size}, which turns often: in {d} dimensions {queries} queries can "
                "find a direction, but hardly any widths"
            )
            self.inner: PopulationStrategy = NormalES(problem, population=size)
            return
        if problem.noisy:
            why = "the reward is noisy, and this narrows by itself, so that a lucky answer does not lead far"
        else:
            why = f"with {d} dimensions, fewer than {FEW_DIMENSIONS}, its widths adapt within {queries} queries"
        self.reason = f"snes with a population of {size}: {why}"
        self.inner = SNES(problem, population=size)

    @property
    def start(self) -> Tensor:
        """Noise (d,) that the chosen strategy starts from."""
        return self.inner.start

    @property
    def lag(self) -> int:
        """Lag of the chosen strategy."""
        return self.inner.lag

    @property
    def n_prior(self) -> int:
        """Number of prior draws of the chosen strategy."""
        return self.inner.n_prior

    @property
    def step_size(self) -> float | None:
        """Step size of the chosen strategy."""
        return self.inner.step_size

    def ask(self) -> Candidates:
        """Propose the next population."""
        return self.inner.ask()

    def tell(self, candidates: Candidates, scores: Tensor) -> None:
        """Pass scores to the chosen strategy."""
        self.inner.tell(candidates, scores)

    def state_dict(self) -> dict[str, Any]:
        """Return the state needed to resume."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the state of another instance."""
        self.inner.load_state_dict(state)
