"""The archive of elites: the best candidate of every cell of one or two measures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zo_dno.search.archive import Found

CELLS = 10
"""Cells along each measure."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal cells between the ends of each measure; values beyond an end count for the cell there.

    Attributes:
        names: Names of the measures.
        ranges: Lowest and highest value of each.
        cells: Number of cells along each.
    """

    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    cells: int = CELLS

    @property
    def size(self) -> int:
        """Number of all cells."""
        return int(self.cells ** len(self.names))

    def cell_of(self, values: Sequence[float]) -> tuple[int, ...]:
        """Return the cell of values of all measures, counted from 0 along each."""
        shares = ((value - low) / (high - low) for value, (low, high) in zip(values, self.ranges, strict=True))
        return tuple(min(self.cells - 1, max(0, math.floor(share * self.cells))) for share in shares)


class EliteArchive:
    """Keeps the best feasible candidate of every cell; of equal ones, the first.

    Args:
        grid: Cells of the measures.
        tells_all: Whether strategies are told the measures of candidates that may not win, too, as runs of earlier
            rules were, which took these for the first of their cells.
    """

    def __init__(self, grid: Grid, *, tells_all: bool = False) -> None:
        self.grid, self.tells_all = grid, tells_all
        self.elites: dict[tuple[int, ...], Found] = {}

    def emptied(self) -> "EliteArchive":
        """Return an empty archive of the same cells."""
        return EliteArchive(self.grid, tells_all=self.tells_all)

    def offer(self, found: Found) -> bool:
        """Take the next feasible candidate, in id order, and return whether it is kept."""
        known = found.components or {}
        if any(name not in known for name in self.grid.names):
            return False
        cell = self.grid.cell_of([known[name] for name in self.grid.names])
        if cell in self.elites and found.rank <= self.elites[cell].rank:
            return False
        self.elites[cell] = found
        return True
