"""The elites of a run: the best candidate of every cell of one or two measures, and how much they cover."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zo_dno.results.kept import Kept
from zo_dno.search.archive import Found
from zo_dno.search.elites import Grid


@dataclass(frozen=True, slots=True, eq=False)
class Elite(Kept):
    """The best candidate of a cell, with what every `Kept` one has.

    Attributes:
        cell: Cell, counted from 0 along each measure.
        measures: Value of each measure, by name.
    """

    cell: tuple[int, ...]
    measures: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Elites:
    """The best candidate of every cell of measures that has one, each plausible and within all requirements.

    Attributes:
        grid: Cells of the measures.
        rows: Elites in the order of their cells.
        offset: Reward above which the QD score counts.
        source: Where that comes from, in words.
    """

    grid: Grid
    rows: tuple[Elite, ...]
    offset: float
    source: str

    @classmethod
    def of(cls, elites: Mapping[tuple[int, ...], Found], grid: Grid, offset: float, source: str) -> "Elites":
        """Make the elites of an archive."""
        rows = []
        for cell, found in sorted(elites.items(), key=lambda one: one[0]):
            known = found.components or {}
            rows.append(Elite(found, cell, {name: known[name] for name in grid.names}))
        return cls(grid, tuple(rows), offset, source)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Elite]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"Elites({self.words})"

    @property
    def coverage(self) -> float:
        """Share of all cells that have an elite."""
        return len(self) / self.grid.size

    @property
    def qd_score(self) -> float:
        """Sum of the elites' rewards above the offset; below it they count 0."""
        return float(sum(max(0.0, one.reward - self.offset) for one in self.rows))

    @property
    def words(self) -> str:
        """How much the elites cover and gain, in words."""
        return words_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {
            "measures": list(self.grid.names),
            "ranges": [list(one) for one in self.grid.ranges],
            "cells": self.grid.cells,
            "offset": self.offset,
            "source": self.source,
            "coverage": self.coverage,
            "qd_score": self.qd_score,
            "rows": [
                {"id": one.id, "cell": list(one.cell), "reward": one.reward, "image": one.found.sha256}
                for one in self.rows
            ],
        }


def words_of(kept: Mapping[str, Any]) -> str:
    """Say how much elites cover and gain, by their entry of `result.json`."""
    ranges = zip(kept["measures"], kept["ranges"], strict=True)
    named = " x ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in ranges)
    return (
        f"{len(kept['rows'])} of {kept['cells'] ** len(kept['measures'])} cells of {named}: coverage "
        f"{kept['coverage']:.0%}, QD score {kept['qd_score']:.4g} above {kept['offset']:.4g}, {kept['source']}"
    )
