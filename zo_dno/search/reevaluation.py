"""Asking a noisy judge again about the best candidates, so that the best one wins and not the luckiest."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from zo_dno.errors import InputError

Repeats = int | Literal["auto"]
SHARE = 0.2  # of the queries that "auto" keeps back: our choice
ASKED_FIRST = 2  # answers of each contender before any is given up: two of one candidate tell how noisy a judge is
CLEAR = 2.0  # standard errors by which a contender is behind before it is given up
MOST = 32  # contenders


@dataclass(frozen=True, slots=True)
class Standing:
    """What a judge says of a candidate when asked again and again.

    Attributes:
        id: of the candidate.
        mean: of its answers, without the one that made it a contender, which was a lucky one.
        error: standard error of the mean; the noise is that of all contenders together.
        answers: in the mean.
    """

    id: int
    mean: float
    error: float
    answers: int


@dataclass(slots=True)
class Reevaluation:
    """Decides whom to ask about again: all contenders twice, then only those not clearly behind, half at most.

    This is sequential halving (Karnin et al. 2013), with contenders that the measured noise rules out given up at once.

    Args:
        contenders: id -> answer that made it one; the best first.
        budget: queries.
    """

    contenders: Mapping[int, float]
    budget: int
    spent: int = field(default=0, init=False)
    _answers: dict[int, list[float]] = field(default_factory=dict, init=False)
    _racing: list[int] = field(default_factory=list, init=False)
    _goal: int = field(default=ASKED_FIRST, init=False)
    _rounds: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        fits = min(MOST, self.budget // (2 * ASKED_FIRST))  # half of the budget is for those that stay
        self._racing = list(self.contenders)[:fits]
        self._rounds = max(1, math.ceil(math.log2(max(2, len(self._racing)))))
        self._answers = {id_: [] for id_ in self._racing}

    def wanted(self) -> list[int]:
        """Return the contenders to ask about once more, or none when the race is decided or the budget spent."""
        waiting = [id_ for id_ in self._racing if len(self._answers[id_]) < self._goal]
        if not waiting:
            self._end_round()
            waiting = [id_ for id_ in self._racing if len(self._answers[id_]) < self._goal]
        return waiting[: self.budget - self.spent]

    def tell(self, answers: Mapping[int, float]) -> None:
        """Take answers, NaN is missing: a contender without an answer is out."""
        self.spent += len(answers)
        for id_, answer in answers.items():
            if math.isnan(answer):
                self._racing.remove(id_)
            else:
                self._answers[id_].append(answer)

    @property
    def noise(self) -> float | None:
        """Standard deviation of one answer about its candidate's mean; None while nothing was asked twice."""
        repeated = [answers for answers in self._answers.values() if len(answers) > 1]
        if not repeated:
            return None
        squares = sum((answer - fmean(answers)) ** 2 for answers in repeated for answer in answers)
        return math.sqrt(squares / sum(len(answers) - 1 for answers in repeated))

    @property
    def is_exact(self) -> bool:
        """The judge says the same whenever it is asked."""
        same = [self.contenders[id_] == answer for id_, answers in self._answers.items() for answer in answers]
        return self.noise == 0 and all(same)

    @property
    def standings(self) -> list[Standing]:
        """Everything that was asked again: those that stayed longest first, the best of them before."""
        noise = self.noise or 0.0
        found = [
            Standing(id_, fmean(answers), noise / math.sqrt(len(answers)), len(answers))
            for id_, answers in self._answers.items()
            if answers
        ]
        return sorted(found, key=lambda one: (one.id in self._racing, one.mean, one.answers), reverse=True)

    def _end_round(self) -> None:
        if len(self._racing) < 2 or self.is_exact:
            self._racing = self._racing[:1] if self.is_exact else self._racing
            return
        places = {standing.id: standing for standing in self.standings}
        ranked = sorted(self._racing, key=lambda id_: places[id_].mean, reverse=True)[: -(-len(self._racing) // 2)]
        leader = places[ranked[0]]
        self._racing = [
            id_
            for id_ in ranked
            if leader.mean - places[id_].mean <= CLEAR * math.hypot(leader.error, places[id_].error)
        ]
        if len(self._racing) > 1:
            share = (self.budget - self.spent) // self._rounds
            self._goal += max(1, share // len(self._racing))
            self._rounds = max(1, self._rounds - 1)


def kept_back(repeats: Repeats, queries: int) -> int:
    """Return how many of a run's queries are for asking again.

    Raises:
        InputError: fewer than half of them would be left for the search, or they do not suffice for two contenders.
    """
    least = 4 * ASKED_FIRST
    if repeats == "auto":
        kept = round(SHARE * queries)
        return kept if kept >= least else 0
    if repeats and not least <= repeats <= queries / 2:
        raise InputError(
            f"repeats must be 0, or from {least}, which two contenders need, to half of the {queries} queries; got "
            f"{repeats}."
        )
    return repeats
