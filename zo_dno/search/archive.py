"""The candidates worth keeping: the first, every new best, and the K best that differ from each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

MIN_DIFFERENCE = 0.02  # mean absolute difference of two images in [0, 1]; see docs/design.md, decision 10


@dataclass(frozen=True, eq=False)
class Found:
    """A scored candidate with its noise and its image.

    Attributes:
        reward: in the reward's unit; None is missing.
        violation: how far it is from being allowed to win.
        feasible: may win: it has a score, meets what the reward requires, and is feasible where that is asked for.
        z: (d,).
        sha256: of the image.
        components: the numbers that the reward was made of.
        spread: standard deviation among the raters, judges or samples behind the reward.
        load_image: returns the image (H, W, 3) uint8; asked once, when it is needed.
        answers: behind `reward`; more than 1 where a judge was asked again (zo_dno.search.reevaluation).
        error: standard error of `reward` where it is their mean.
    """

    id: int
    reward: float | None
    log_prob: float
    norm_ratio: float
    whiteness: float
    noise_violation: float
    plausible: bool
    violation: float
    feasible: bool
    z: "Tensor"
    sha256: str
    components: Mapping[str, float] | None
    spread: float | None
    load_image: Callable[[], np.ndarray]
    answers: int = 1
    error: float | None = None

    @cached_property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8."""
        return self.load_image()

    @property
    def rank(self) -> tuple[bool, float]:
        """Compare by: eligible ones by their reward, and before all others, which go by what they lack."""
        return (True, self.reward) if self.feasible and self.reward is not None else (False, -self.violation)


class Archive:
    """Keeps the first candidate, every new best, and the `top` best ones that look different.

    Args:
        top: how many of the best to keep; with 0 no image is looked at.
        min_difference: mean absolute difference in [0, 1] from which two images count as different.
        contenders: how many of the best to keep for asking about them again, alike or not.
    """

    def __init__(self, top: int = 1, min_difference: float = MIN_DIFFERENCE, *, contenders: int = 0) -> None:
        self._size, self._min_difference, self._n_contenders = top, min_difference, contenders
        self.contenders: list[Found] = []
        self._promoted: Found | None = None
        self.first: Found | None = None
        self.improvements: list[Found] = []
        self.top: list[Found] = []

    @property
    def best(self) -> Found | None:
        """The best candidate so far; when none is eligible, the one with a score that lacks least."""
        return self._promoted or (self.improvements[-1] if self.improvements else None)

    def promote(self, found: Found) -> None:
        """Let a candidate win that was asked about again, whatever single answers say."""
        self._promoted = found
        self.top = [found, *(other for other in self.top if other.id != found.id)][: self._size]

    def offer(self, found: Found) -> bool:
        """Look at the next candidate, in id order; returns whether its image was, or will be, looked at."""
        matters = self.first is None
        if matters:
            self.first = found
        if found.reward is None:
            return matters
        if self.best is None or found.rank > self.best.rank:
            self.improvements.append(found)
            matters = True
        if self._n_contenders and found.feasible:  # of equals the later one, from a search that has come further
            self.contenders = sorted([*self.contenders, found], key=lambda one: (one.rank, one.id), reverse=True)
            del self.contenders[self._n_contenders :]
        return (found.feasible and self._size > 0 and self._offer_top(found)) or matters

    def _offer_top(self, found: Found) -> bool:
        if len(self.top) == self._size and found.rank <= self.top[-1].rank:
            return False
        alike = [other for other in self.top if self._difference(other, found) < self._min_difference]
        if all(other.rank < found.rank for other in alike):
            kept = [other for other in self.top if all(other is not twin for twin in alike)]
            self.top = sorted([*kept, found], key=lambda one: one.rank, reverse=True)[: self._size]
        return True

    @staticmethod
    def _difference(one: Found, other: Found) -> float:
        return float(np.abs(one.image.astype(np.int16) - other.image).mean()) / 255
