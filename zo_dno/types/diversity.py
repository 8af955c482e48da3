"""What strategies of several different images are given: a distance of images, or measures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


class Distance(Protocol):
    """A distance of images, by descriptions of which there is one an image.

    Attributes:
        name: Name, as a config has it.
    """

    name: str

    def describe(self, images: "Tensor") -> "Tensor":
        """Describe images (n, 3, H, W) in [0, 1], (n, m)."""
        ...

    def between(self, some: "Tensor", others: "Tensor") -> "Tensor":
        """Return the distances between descriptions (n, m) and (k, m), (n, k)."""
        ...


@runtime_checkable
class SearchesDiverse(Protocol):
    """A strategy that searches a set of good images that differ, whose members it is told as what was measured.

    Attributes:
        searches_diverse: Whether it does.
    """

    searches_diverse: bool


@runtime_checkable
class UsesDistance(Protocol):
    """A strategy that computes distances of images itself."""

    def use_distance(self, distance: Distance, least: float) -> None:
        """Take the distance of images and the least one of two members, before the first `ask`."""
        ...


@runtime_checkable
class UsesMeasures(Protocol):
    """A strategy that keeps the best candidate of every cell of one or two measures, which it is told as measured."""

    def use_measures(self, ranges: Sequence[tuple[float, float]], cells: int) -> None:
        """Take the range of each measure and the number of its cells, before the first `ask`."""
        ...
