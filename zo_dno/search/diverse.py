"""The archive of a diverse set: the candidates that a set of good images which differ may be chosen from."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.search.archive import Found
from zo_dno.surrogate.distances import check_finite, mean_distance
from zo_dno.surrogate.members import best_set
from zo_dno.types.diversity import Distance

_POOL = 8  # candidates that are kept for each member
_FEWEST = 64


def fact_of_set(population: int) -> str:
    """Return the name of the ledger's fact about the set after a population."""
    return f"set of population {population} of search"


class DiverseArchive:
    """Keeps candidates that may be members of the best set of images that differ.

    Beyond eight for each member, that candidate is dropped which has the most better ones near it, of several the one
    with the lowest reward: the others leave less room for it.

    Args:
        size: Number of members.
        distance: Distance of images.
        least: Least distance of two members.
        usual: Mean distance of two prior draws.
        keeps: Whether a set is never worse than the one before it; runs of earlier rules chose each anew.
    """

    def __init__(self, size: int, distance: Distance, least: float, usual: float, *, keeps: bool = True) -> None:
        self.size, self.distance, self.least, self.usual, self._keeps = size, distance, least, usual, keeps
        self._most = max(_FEWEST, _POOL * size)
        self._pool: list[Found] = []
        self._described = torch.empty(0, 0)
        self._apart = np.zeros((0, 0))
        self._members: list[int] | None = []
        self._before: list[Found] = []

    def emptied(self) -> "DiverseArchive":
        """Return an empty archive of the same set."""
        return DiverseArchive(self.size, self.distance, self.least, self.usual, keeps=self._keeps)

    def offer(self, found: Found) -> bool:
        """Take the next feasible candidate, in id order, and return whether it is kept.

        Raises:
            InputError: A distance is not finite.
        """
        described = self.distance.describe(floats_of(found.image))
        others = self._described if self._pool else described[:0]
        apart = self.distance.between(described, others)
        check_finite(self.distance, apart)
        row = apart[0].double().numpy()
        self._pool.append(found)
        self._described = torch.cat([others, described])
        self._apart = np.block([[self._apart, row[:, None]], [row[None], np.zeros((1, 1))]])
        self._members = None
        return len(self._pool) <= self._most or self._drop_one() is not found

    @property
    def members(self) -> list[Found]:
        """The best set of what is kept, best first."""
        return [self._pool[place] for place in self._places]

    @property
    def distances(self) -> np.ndarray:
        """Distances of the members, (n, n)."""
        return self._apart[np.ix_(self._places, self._places)]

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger's fact: ids of the members, best first, and their mean distance, None below two."""
        apart = self.distances
        mean = mean_distance(torch.from_numpy(apart)) if len(apart) > 1 else None
        return {"members": [found.id for found in self.members], "mean_distance": mean}

    @property
    def _places(self) -> list[int]:
        if self._members is None:
            places = {found.id: place for place, found in enumerate(self._pool)}
            known = [places[found.id] for found in self._before if found.id in places] if self._keeps else None
            self._members = best_set(self._rewards, self._apart, self.size, self.least, known)
            self._before = [self._pool[place] for place in self._members]
        return self._members

    @property
    def _rewards(self) -> np.ndarray:
        return np.array([found.rank[1] for found in self._pool])

    def _drop_one(self) -> Found:
        rewards = self._rewards
        better = rewards[None] > rewards[:, None]
        better |= (rewards[None] == rewards[:, None]) & np.tri(len(rewards), k=-1, dtype=bool)  # of equals, the earlier
        crowded = (better & (self._apart < self.least)).sum(1)
        if self._keeps:
            ids = {found.id for found in self._before}
            crowded[[found.id in ids for found in self._pool]] = -1  # members are dropped last
        place = max(range(len(rewards)), key=lambda one: (crowded[one], -rewards[one], one))
        kept = [one for one in range(len(rewards)) if one != place]
        self._described, self._apart = self._described[kept], self._apart[np.ix_(kept, kept)]
        return self._pool.pop(place)


def floats_of(*images: np.ndarray) -> Tensor:
    """Return images, (H, W, 3) uint8 each, as (n, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
