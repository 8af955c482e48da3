"""The contract of search spaces, which map a strategy's coordinates to noise."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout


class SearchSpace(ABC):
    """Coordinates y (n, k), on the N(0, I) scale, that stand for noise z (n, d). Subclasses take options beside these.

    Args:
        noise: Layout of the searched draws.
        start: Noise that the search starts from, (d,).
        seed: Seed of the space's own random numbers.
    Attributes:
        sizes: Sizes of the groups of coordinates that strategies keep on shells of their own; k is their sum.
        origin: Coordinates of `start`, (k,).
        warm_up: Number of prior draws whose scores `settle` needs before there are coordinates.
    """

    sizes: tuple[int, ...]
    origin: Tensor
    warm_up: int = 0

    @property
    def k(self) -> int:
        """Number of coordinates."""
        return sum(self.sizes)

    @abstractmethod
    def to_noise(self, y: Tensor) -> Tensor:
        """Map coordinates (n, k) to noise (n, d): Gaussian ones to Gaussian noise, and `origin` to the start."""

    def settle(self, z: Tensor, scores: Tensor) -> None:  # noqa: B027, most spaces learn nothing
        """Choose the coordinates by prior draws z (n, d) and their scores (n,); NaN is missing."""

    def state_dict(self) -> dict[str, Any]:
        """Return the choice of `settle`."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Load the choice of another instance."""


class LinearSpace(SearchSpace):
    """An orthonormal basis of some directions of the noise; the other directions stay as they are in the start."""

    def __init__(self, noise: NoiseLayout, start: Tensor, k: int) -> None:
        if not 1 <= k <= noise.d:
            raise InputError(f"dims must be between 1 and d = {noise.d}; got {k}.")
        self.sizes = (k,)
        self.origin = self.coordinates(start[None])[0]
        self._rest = start - self.spread(self.origin[None])[0]
        self._start = start

    @abstractmethod
    def coordinates(self, z: Tensor) -> Tensor:
        """Project noise (n, d) onto the basis, (n, k)."""

    @abstractmethod
    def spread(self, y: Tensor) -> Tensor:
        """Return the sums (n, d) of the basis weighted by coordinates (n, k)."""

    def to_noise(self, y: Tensor) -> Tensor:
        z = self._rest + self.spread(y)
        same = (y == self.origin).all(1, keepdim=True)
        return self._start.where(same, z)  # exactly, in spite of rounding


SearchSpaceFactory = Callable[[NoiseLayout, Tensor, int], SearchSpace]
"""(noise, start, seed) -> space."""
