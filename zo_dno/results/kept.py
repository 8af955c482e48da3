"""A candidate that a run keeps beside its best one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.search.archive import Found

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A candidate of a front, of a diverse set, or of a cell of measures.

    Attributes:
        found: The candidate with its noise, image and tests.
    """

    found: Found

    @property
    def id(self) -> int:
        """Id of the candidate."""
        return self.found.id

    @property
    def reward(self) -> float:
        """Reward in its unit."""
        assert self.found.reward is not None
        return self.found.reward

    @property
    def noise(self) -> "Tensor":
        """Noise, (d,)."""
        return self.found.z

    @property
    def image(self) -> np.ndarray:
        """Image, (H, W, 3) uint8."""
        return self.found.image
