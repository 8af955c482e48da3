"""The contract of a search space: coordinates that a strategy searches -> noise."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout


class SearchSpace(ABC):
    """Coordinates y (n, k), on the N(0, I) scale, that stand for noise z (n, d). Subclasses take options beside these.

    Args:
        noise: the searched draws.
        start: (d,), the noise that the search starts from.
        seed: of the space's own random numbers.
    Attributes:
        sizes: of the groups of coordinates that strategies keep on a shell of their own; k is their sum.
        origin: (k,), the coordinates of `start`.
        warm_up: candidates from the prior that are told to `settle` before there are coordinates.
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
        """Map coordinates (n, k) to noise (n, d): of Gaussian ones Gaussian noise, of `origin` the start."""

    def settle(self, z: Tensor, scores: Tensor) -> None:  # noqa: B027, most have nothing to learn
        """Choose the coordinates by prior draws z (n, d) and their scores (n,), NaN is missing."""

    def state_dict(self) -> dict[str, Any]:
        """Return what `settle` chose."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take what another one chose."""


class LinearSpace(SearchSpace):
    """An orthonormal basis of some of the noise; what lies outside of it stays as it is in the start."""

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
        """Add up the basis by coordinates (n, k), (n, d)."""

    def to_noise(self, y: Tensor) -> Tensor:
        z = self._rest + self.spread(y)
        same = (y == self.origin).all(1, keepdim=True)
        return self._start.where(same, z)  # exactly, whatever is rounded


SearchSpaceFactory = Callable[[NoiseLayout, Tensor, int], SearchSpace]
"""(noise, start, seed) -> space."""
