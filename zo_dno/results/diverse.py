"""The diverse set of a run: good images that differ, how good they are, and by how much they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zo_dno.results.kept import Kept
from zo_dno.search.archive import Found


@dataclass(frozen=True, slots=True, eq=False)
class Member(Kept):
    """A member of a diverse set, with what every `Kept` candidate has.

    Attributes:
        nearest: Distance from the member that is most like it; None where there is no other.
    """

    nearest: float | None

    def __repr__(self) -> str:
        near = "" if self.nearest is None else f", {self.nearest:.4g} apart"
        return f"Member({self.id}: reward {self.reward:.4g}{near})"


@dataclass(frozen=True, slots=True, eq=False)
class Diverse:
    """Good images of which every two differ by at least a distance, each plausible and within all requirements.

    Attributes:
        members: Members, best first; fewer than asked for where no more are far enough apart.
        distances: Distances of the members, (n, n).
        apart: Name of the distance.
        size: Number of members asked for.
        least: Least distance of two members.
        usual: Mean distance of two prior draws.
    """

    members: tuple[Member, ...]
    distances: np.ndarray
    apart: str
    size: int
    least: float
    usual: float

    @classmethod
    def of(
        cls, found: Sequence[Found], distances: np.ndarray, apart: str, size: int, least: float, usual: float
    ) -> "Diverse":
        """Make a set of its members, best first, and their distances (n, n)."""
        distances = np.asarray(distances, float).reshape(len(found), len(found))
        others = distances + np.diag(np.full(len(found), np.inf))
        nearest = others.min(1) if len(found) > 1 else [None] * len(found)
        members = tuple(
            Member(one, None if near is None else float(near)) for one, near in zip(found, nearest, strict=True)
        )
        return cls(members, distances, apart, size, least, usual)

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __repr__(self) -> str:
        return f"Diverse({self.words})"

    @property
    def mean_reward(self) -> float | None:
        """Mean reward of the members; None without any."""
        return float(np.mean([one.reward for one in self.members])) if self.members else None

    @property
    def mean_distance(self) -> float | None:
        """Mean distance of two members; None with fewer than two."""
        n = len(self)
        return float(self.distances.sum() / (n * (n - 1))) if n > 1 else None

    @property
    def words(self) -> str:
        """How many, how good and how different the members are, in words."""
        return words_of(self.to_dict())

    @property
    def shortfall(self) -> str | None:
        """Why there are fewer members than asked for, and what to do; None where there are as many."""
        if len(self) == self.size:
            return None
        return (
            f"Only {len(self)} of {self.size} images are at least {self.least:.4g} apart: take more queries, or a "
            "lower min_distance."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {
            "apart": self.apart,
            "size": self.size,
            "least": self.least,
            "usual": self.usual,
            "mean_reward": self.mean_reward,
            "mean_distance": self.mean_distance,
            "members": [{"id": one.id, "reward": one.reward, "image": one.found.sha256} for one in self.members],
            "distances": self.distances.tolist(),
        }


def words_of(kept: Mapping[str, Any]) -> str:
    """Say how many, how good and how different the members of a set are, by its entry of `result.json`."""
    found, size, good, apart = len(kept["members"]), kept["size"], kept["mean_reward"], kept["mean_distance"]
    count = f"{found} images that differ" if found == size else f"{found} of {size} images that differ"
    if good is None:
        return count
    if apart is None:
        return f"{count}, mean reward {good:.4g}"
    return (
        f"{count}, mean reward {good:.4g}, mean distance {apart:.4g} in {kept['apart']} ({kept['usual']:.4g} between "
        f"prior draws), at least {kept['least']:.4g} between any two"
    )
