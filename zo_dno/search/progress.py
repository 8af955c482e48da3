"""The progress of a search: how it ended, and the figures after every population."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from zo_dno.search.archive import Found
from zo_dno.storage.ledger import QueryRow

Status = Literal["finished", "target", "interrupted", "paused", "infeasible"]


class ActorPoolStatus(Protocol):
    """The figures of a pool of actors; they are current whenever they are read.

    Attributes:
        what: Kind of the actors, for messages.
    """

    what: str

    @property
    def in_flight(self) -> int:
        """Number of calls that the actors have."""
        ...

    @property
    def size(self) -> int:
        """Number of actors that the pool keeps."""
        ...

    @property
    def alive(self) -> int:
        """Number of actors that can take calls."""
        ...

    @property
    def utilisation(self) -> float:
        """Share of the time since the start in which the actors were busy, from 0 to 1."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """The figures of a search after a population.

    Attributes:
        stage: Stage of the search in the ledger.
        queries: Number of completed queries.
        planned: Number of queries in the budget.
        failed: Number of queries without a score.
        best: Best candidate so far.
        median_log_prob: Median log P(z) of the population.
        sigma: Step size of the strategy, if it has one.
        images_per_second: Completed queries per second of rendering, scoring and the strategy.
        cost: Money spent so far.
        actor_pools: Pools of the actors that render and score.
    """

    stage: str
    queries: int
    planned: int
    failed: int
    best: Found | None
    median_log_prob: float
    sigma: float | None
    images_per_second: float
    cost: float
    actor_pools: tuple[ActorPoolStatus, ...] = ()


def both(first: Callable[[Step], None], second: Callable[[Step], None] | None) -> Callable[[Step], None]:
    """Return a function that calls both functions with the progress of a search."""
    if second is None:
        return first

    def on_step(step: Step) -> None:
        first(step)
        second(step)

    return on_step


@dataclass(slots=True)
class Counts:
    """The numbers of queries, images and failures of a search.

    Attributes:
        queries: Number of completed queries.
        images: Number of settled candidates, those included that pre-selection skipped.
        failures: Number of queries without a score, by reason.
    """

    queries: int = 0
    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Number of queries without a score."""
        return self.failures.total()

    def add(self, row: QueryRow, sign: int = 1) -> None:
        """Count a row; with the sign -1, take its count back."""
        self.queries += sign * row.completed
        self.images += sign * row.settled
        if row.status == "missing":
            self.failures[row.error or "no reason given"] += sign
