"""The candidates worth keeping: the first, every new best, the K best that differ, and the front of several rewards."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.surrogate.pareto import dominates
from zo_dno.types import Query

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.search.diverse import DiverseArchive
    from zo_dno.search.elites import EliteArchive

MIN_DIFFERENCE = 0.02  # mean absolute difference of two images in [0, 1]; see docs/design.md, decision 10


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """A scored candidate with its noise and its image.

    Attributes:
        id: Id of the candidate.
        reward: Reward in its unit; None is missing.
        log_prob: log P(z), the Gaussian probability indicator of DNO.
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the spectral whiteness test.
        noise_violation: Violation of the noise tests, in nats.
        plausible: Whether the noise passes all of them.
        violation: Violation of all constraints together; 0 where they are met.
        feasible: Whether the candidate can win: it has a score and violates no constraint.
        z: Noise, (d,).
        sha256: Hash of the image.
        components: Named numbers behind the reward.
        spread: Standard deviation among the raters, judges or samples behind the reward.
        load_image: Function that returns the image, (H, W, 3) uint8; called at most once.
        load_array: Function that returns the array for rewards that take arrays; None where it is the image.
        n_scores: Number of scores behind `reward`; several after a re-evaluation; with choices, their number.
        error: Standard error of `reward` where it is their mean.
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
    n_scores: int = 1
    error: float | None = None
    load_array: Callable[[], np.ndarray] | None = None

    def __repr__(self) -> str:
        return f"Found(id={self.id}, reward={self.reward}, log_prob={self.log_prob:.4g}, feasible={self.feasible})"

    @property
    def answers(self) -> int:
        """Former name of `n_scores`."""
        return self.n_scores

    @cached_property
    def image(self) -> np.ndarray:
        """Image, (H, W, 3) uint8."""
        image = self.load_image()
        object.__setattr__(self, "load_image", partial(np.asarray, image))  # it may have held a whole block of images
        return image

    @cached_property
    def array(self) -> np.ndarray | None:
        """Array for rewards that take arrays; None where it is the image."""
        if self.load_array is None:
            return None
        array = self.load_array()
        object.__setattr__(self, "load_array", partial(np.asarray, array))
        return array

    def query(self, prompt: str, *, arrays: bool, repeat: int = 0) -> Query:
        """Return a query about the candidate; `arrays` says whether the reward takes arrays."""
        array = self.array if arrays else None
        return Query(self.id, self.image, self.sha256, prompt, repeat=repeat, array=array)

    @property
    def rank(self) -> tuple[bool, float]:
        """Sort key: feasible candidates by reward, above all others, which go by their violation."""
        return (True, self.reward) if self.feasible and self.reward is not None else (False, -self.violation)


def values_of(found: Found, names: Sequence[str]) -> np.ndarray:
    """Return the values of several rewards of a candidate, (m,)."""
    known = found.components or {}
    return np.array([known[name] for name in names], float)


class Archive:
    """Keeps the first candidate, every new best, and the `top` best ones that look different.

    Args:
        top: Number of the best candidates to keep; with 0 no image is needed.
        min_difference: Mean absolute difference in [0, 1] from which two images count as different.
        contenders: Number of the best candidates to keep for a re-evaluation, alike or not.
        objectives: Names of the rewards whose front is kept; empty keeps none.
        diverse: Archive of a set of images that differ by a distance; None keeps none.
        elites: Archive of the best candidate of every cell of measures; None keeps none.
    Attributes:
        front: Feasible candidates that no other beats in all of these rewards; of equal ones, the first.
    """

    def __init__(
        self,
        top: int = 1,
        min_difference: float = MIN_DIFFERENCE,
        *,
        contenders: int = 0,
        objectives: Sequence[str] = (),
        diverse: "DiverseArchive | None" = None,
        elites: "EliteArchive | None" = None,
    ) -> None:
        self._size, self._min_difference, self._n_contenders = top, min_difference, contenders
        self.contenders: list[Found] = []
        self._promoted: Found | None = None
        self.first: Found | None = None
        self.improvements: list[Found] = []
        self.top: list[Found] = []
        self._objectives = tuple(objectives)
        self.front: list[Found] = []
        self.diverse, self.elites = diverse, elites

    @property
    def best(self) -> Found | None:
        """The best candidate so far; while none is feasible, the scored one with the smallest violation."""
        return self._promoted or (self.improvements[-1] if self.improvements else None)

    def promote(self, found: Found) -> None:
        """Make a re-evaluated candidate the best, regardless of single scores."""
        self._promoted = found
        self.top = [found, *(other for other in self.top if other.id != found.id)][: self._size]

    def offer(self, found: Found) -> bool:
        """Take the next candidate, in id order, and return whether its image is or will be needed."""
        matters = self.first is None
        if matters:
            self.first = found
        if found.reward is None:
            return matters
        if self.best is None or found.rank > self.best.rank:
            self.improvements.append(found)
            matters = True
        if self._n_contenders and found.feasible:  # among equals the later one, from a more advanced search
            self.contenders = sorted([*self.contenders, found], key=lambda one: (one.rank, one.id), reverse=True)
            del self.contenders[self._n_contenders :]
        if self._objectives and found.feasible:
            matters = self._offer_front(found) or matters
        if self.diverse is not None and found.feasible:
            matters = self.diverse.offer(found) or matters
        if self.elites is not None and found.feasible:
            matters = self.elites.offer(found) or matters
        return (found.feasible and self._size > 0 and self._offer_top(found)) or matters

    def _offer_front(self, found: Found) -> bool:
        own = values_of(found, self._objectives)
        others = [values_of(one, self._objectives) for one in self.front]
        if any((other >= own).all() for other in others):
            return False
        kept = [one for one, other in zip(self.front, others, strict=True) if not dominates(own, other)]
        self.front = [*kept, found]
        return True

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
