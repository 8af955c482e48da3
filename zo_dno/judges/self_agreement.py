"""How often raters agree with themselves when they get a task again, and what chance alone would give."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from zo_dno.judges.rating_tasks import Rating

_WITHIN = 1.0  # points of 10 by which two ratings of one image may differ
_LUCK = 0.05  # probability below which chance is no explanation
_WORDS = {  # by what is counted
    "choice": "gave the same answer in {} of {} repeat{}",
    "rank": "put {} of {} pair{} of images in the same order again",
    "like": "marked {} of {} image{} the same way again",
    "rate": "gave the same rating, within 1 point, in {} of {} repeat{}",
}


@dataclass(frozen=True, slots=True)
class SelfAgreement:
    """What the repeats of one rater say.

    Attributes:
        rater: Id of the rater.
        kind: Kind of what is counted: "choice", "rank", "like" or "rate".
        same: Number of repeats, or of images or pairs of images in them, with the same answer.
        of: Number of all of them.
        by_chance: Number that is expected of answers that do not depend on the images.
        luck: Probability that such answers agree in at least as many.
        all_by_luck: Probability that they agree in all.
    """

    rater: str
    kind: str
    same: int
    of: int
    by_chance: float
    luck: float
    all_by_luck: float

    def sentence(self, who: str) -> str:
        """Say it in words.

        Args:
            who: The rater as the subject of a sentence, such as "You".
        """
        words = _WORDS[self.kind]
        chance = f"{self.by_chance:.1f}".removesuffix(".0")
        said = f"{who} {words.format(self.same, self.of, '' if self.of == 1 else 's')}; chance alone gives {chance}."
        if self.luck <= _LUCK:
            return said
        if self.all_by_luck > _LUCK:
            return f"{said} Even full agreement could be luck here."
        return f"{said} That cannot be told from random clicks."


def self_agreement(repeats: Sequence[tuple[Rating, Rating]], ratings: Sequence[Rating]) -> list[SelfAgreement]:
    """Count, for each rater, how often the answer to a repeated task was the same.

    Args:
        repeats: Ratings of a task and of its repeat, by the same rater.
        ratings: All ratings of the run, which say how a rater spreads numbers.
    """
    found = []
    for rater in dict.fromkeys(first.rater for first, _ in repeats):
        own = [both for both in repeats if both[0].rater == rater]
        numbers = [one.value for one in ratings if one.rater == rater and one.value is not None]
        counts = [_counted(*both, numbers) for both in own]
        chance = np.ones(1)
        for _, odds in counts:
            chance = np.convolve(chance, odds)
        same = sum(one for one, _ in counts)
        found.append(
            SelfAgreement(
                rater,
                _kind(own[0][0]),
                same,
                len(chance) - 1,
                float(chance @ np.arange(len(chance))),
                float(chance[same:].sum()),
                float(chance[-1]),
            )
        )
    return found


def in_sentences(found: Sequence[SelfAgreement], names: Mapping[str, str], you: str = "") -> list[str]:
    """Say how often raters agreed with themselves.

    Args:
        found: What the repeats of each rater say.
        names: Names of the raters.
        you: Id of the rater who reads it; empty for none.
    """
    ordered = sorted(found, key=lambda one: one.rater != you)
    lone = len(names) == 1
    return [one.sentence("You" if one.rater == you else "The rater" if lone else names[one.rater]) for one in ordered]


def _kind(rating: Rating) -> str:
    if rating.order is None:
        return "rate"
    if rating.order.level:
        return "like"
    return "rank" if len(rating.order.ranked) > 1 else "choice"


def _counted(first: Rating, second: Rating, numbers: Sequence[float]) -> tuple[int, np.ndarray]:
    """Count what is the same in two ratings of a task. Returns the number, and the probability of each by chance."""
    if first.order is None or second.order is None:
        assert first.value is not None
        assert second.value is not None
        pairs = [abs(one - other) <= _WITHIN for one, other in combinations(numbers, 2)]
        return int(abs(first.value - second.value) <= _WITHIN), _once(float(np.mean(pairs)) if pairs else 1.0)
    one, other = first.order.ranked, second.order.ranked
    if first.order.level:
        return _marked(len(first.shown), {*one}, {*other})
    if len(one) > 1:
        pairs = [other.index(better) < other.index(worse) for better, worse in combinations(one, 2)]
        return sum(pairs), _orders(len(one))
    return int(one == other), _once(1 / len(first.shown))


def _marked(n: int, one: Collection[str], other: Collection[str]) -> tuple[int, np.ndarray]:
    """Count what two sets of marks among n images say alike, and the same of random sets as large (hypergeometric)."""
    odds = np.zeros(n + 1)
    for both in range(max(0, len(one) + len(other) - n), min(len(one), len(other)) + 1):
        ways = comb(len(one), both) * comb(n - len(one), len(other) - both)
        odds[n - len(one) - len(other) + 2 * both] = ways / comb(n, len(other))
    return n - len({*one} ^ {*other}), odds


def _once(p: float) -> np.ndarray:
    return np.array([1 - p, p])


def _orders(n: int) -> np.ndarray:
    """Return the probabilities of 0, 1, ... pairs in the same order, for two random orders of n (Mahonian numbers)."""
    odds = np.ones(1)
    for size in range(2, n + 1):
        odds = np.convolve(odds, np.full(size, 1 / size))
    assert len(odds) == comb(n, 2) + 1
    return odds
