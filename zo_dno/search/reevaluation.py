"""Re-evaluation of the best candidates by a noisy reward, so that the best one wins and not the luckiest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from zo_dno.errors import InputError

Repeats = int | Literal["auto"]
SHARE = 0.2  # share of the queries that "auto" keeps back: our choice
FIRST_SCORES = 2  # scores of each contender before the first elimination: two of one candidate show the reward's noise
CLEAR = 2.0  # standard errors between a contender and the leader before it is eliminated
MOST = 32  # largest number of contenders


@dataclass(frozen=True, slots=True)
class Standing:
    """The result of re-evaluating one candidate.

    Attributes:
        id: Id of the candidate.
        mean: Mean of its new scores; the score that made it a contender is left out, since it was selected by luck.
        error: Standard error of the mean, from the noise of all contenders together.
        n_scores: Number of scores in the mean.
    """

    id: int
    mean: float
    error: float
    n_scores: int


@dataclass(slots=True)
class Reevaluation:
    """Decides which candidates are scored again: all contenders twice, then at most the better half after each rung.

    This is sequential halving (Karnin et al. 2013); a contender that the measured noise rules out leaves at once.

    Args:
        contenders: Scores that made the candidates contenders, by id, best first.
        budget: Number of queries.
        equals_are_exact: Whether contenders that all have one score show an exact reward, as runs of earlier rules
            take it, and not a scale whose end all of them have reached.
    Attributes:
        spent: Number of queries so far.
    """

    contenders: Mapping[int, float]
    budget: int
    equals_are_exact: bool = False
    spent: int = field(default=0, init=False)
    _scores: dict[int, list[float]] = field(default_factory=dict, init=False)
    _left: list[int] = field(default_factory=list, init=False)
    _goal: int = field(default=FIRST_SCORES, init=False)

    def __post_init__(self) -> None:
        self._left = list(self.contenders)[: _n_contenders(self.budget)]
        self._scores = {id_: [] for id_ in self._left}

    def wanted(self) -> list[int]:
        """Return the contenders to score once more; none when the winner is clear or the budget is spent."""
        waiting = [id_ for id_ in self._left if len(self._scores[id_]) < self._goal]
        if not waiting:
            self._end_rung()
            waiting = [id_ for id_ in self._left if len(self._scores[id_]) < self._goal]
        return waiting[: self.budget - self.spent]

    def tell(self, scores: Mapping[int, float]) -> None:
        """Take scores by id; a contender with a missing one (NaN) leaves."""
        self.spent += len(scores)
        for id_, score in scores.items():
            if math.isnan(score):
                self._left.remove(id_)
            else:
                self._scores[id_].append(score)

    @property
    def noise(self) -> float | None:
        """Standard deviation of one score about its candidate's mean; None while no candidate has two new scores."""
        repeated = [scores for scores in self._scores.values() if len(scores) > 1]
        if not repeated:
            return None
        squares = sum((score - fmean(scores)) ** 2 for scores in repeated for score in scores)
        return math.sqrt(squares / sum(len(scores) - 1 for scores in repeated))

    @property
    def is_exact(self) -> bool:
        """Whether the reward gives the same score every time."""
        same = [self.contenders[id_] == score for id_, scores in self._scores.items() for score in scores]
        differ = len({self.contenders[id_] for id_ in self._scores}) > 1
        return self.noise == 0 and all(same) and (differ or self.equals_are_exact)

    @property
    def unasked(self) -> str:
        """How many queries of the budget are left, and why; empty where none is."""
        left = self.budget - self.spent
        if not left:
            return ""
        why = "one candidate is clearly the best" if self._left else "none of the best got another score"
        return f"{left} of {self.budget} queries kept for scoring the best again were not needed: {why}"

    @property
    def standings(self) -> list[Standing]:
        """Results of all contenders: those that are left first, and the best of them before the others."""
        noise = self.noise or 0.0
        found = [
            Standing(id_, fmean(scores), noise / math.sqrt(len(scores)), len(scores))
            for id_, scores in self._scores.items()
            if scores
        ]
        return sorted(found, key=lambda one: (one.id in self._left, one.mean, one.n_scores), reverse=True)

    def _end_rung(self) -> None:
        if len(self._left) < 2 or self.is_exact:
            self._left = self._left[:1] if self.is_exact else self._left
            return
        places = {standing.id: standing for standing in self.standings}
        ranked = sorted(self._left, key=lambda id_: places[id_].mean, reverse=True)[: max(2, -(-len(self._left) // 2))]
        leader = places[ranked[0]]
        self._left = [
            id_
            for id_ in ranked
            if leader.mean - places[id_].mean <= CLEAR * math.hypot(leader.error, places[id_].error)
        ]
        if len(self._left) > 1:
            rungs = math.ceil(math.log2(len(self._left)))  # this one and those after it
            share = (self.budget - self.spent) / rungs / len(self._left)
            self._goal += max(1, math.ceil(share) if rungs == 1 else math.floor(share))


def planned_ends(kept: int, queries: int) -> tuple[int, ...]:
    """Return after how many queries a search is planned to stop.

    Args:
        kept: Queries that are kept back for the re-evaluation.
        queries: Queries of the run.
    Returns:
        Numbers of queries: before the re-evaluation; in all, if that shows an exact reward and the rest goes to the
        search; and in all without a re-evaluation.
    """
    return queries - kept, queries - FIRST_SCORES * _n_contenders(kept), queries


def _n_contenders(budget: int) -> int:
    return min(MOST, budget // (2 * FIRST_SCORES))  # half of the budget is for those that stay


def kept_back(repeats: Repeats, queries: int) -> int:
    """Return the number of a run's queries that are kept back for the re-evaluation.

    Raises:
        InputError: Less than half of the queries is left for the search, or too few are kept for two contenders.
    """
    least = 4 * FIRST_SCORES
    if repeats == "auto":
        kept = round(SHARE * queries)
        return kept if kept >= least else 0
    if repeats and not least <= repeats <= queries / 2:
        raise InputError(
            f"repeats must be 0, or from {least}, which two contenders need, to half of the {queries} queries; got "
            f"{repeats}."
        )
    return repeats
