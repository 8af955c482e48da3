"""What runs are compared by: their best reward, or what several answers are worth, as a front, a set or cells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zo_dno.storage.ledger import QueryRow
from zo_dno.surrogate.pareto import hypervolume

REWARD, HYPERVOLUME, SET, CELLS = "best reward", "hypervolume", "diverse set", "QD score"
_FIRST = 16  # scores of a run of which the lowest is its offset, where its result has none


@dataclass(frozen=True, slots=True)
class Places:
    """The rewards in the places of a set or in cells, whose worth depends on an offset that runs have in common.

    Attributes:
        rewards: Rewards of the places that are filled.
        lowest: Offset of the run alone.
        size: Number of places, of which the mean counts, empty ones as the offset; None for cells, of which the sum
            above the offset counts.
    """

    rewards: tuple[float, ...]
    lowest: float
    size: int | None = None

    def worth(self, offset: float) -> float:
        """Return what the rewards are worth."""
        if self.size is None:
            return sum(max(0.0, reward - offset) for reward in self.rewards)
        return (sum(self.rewards) + (self.size - len(self.rewards)) * offset) / self.size


def with_common_offsets(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Measure all `Places` by one offset for each reward and prompt: the lowest of their runs."""
    given = [dict(row) for row in rows]
    offsets: dict[tuple[str, str], float] = {}
    for row in given:
        cell = row["reward"], row["prompt"]
        for value in row.values():
            if isinstance(value, Places):
                offsets[cell] = min(value.lowest, offsets.get(cell, value.lowest))
    for row in given:
        offset = offsets.get((row["reward"], row["prompt"]))
        row["offset"] = offset
        for name, value in row.items():
            if isinstance(value, Places) and offset is not None:
                row[name] = value.worth(offset)
    return given


class Worth:
    """What the queries of a run are worth, by the entries of its result.

    Args:
        result: Content of `result.json`.
        every: Completed queries of the search, in order.
        sets: Members and their mean distance after each population, of a diverse set.
        constrained: Whether only plausible noise can win.
    """

    def __init__(
        self,
        result: Mapping[str, Any],
        every: Sequence[QueryRow],
        sets: Mapping[int, Mapping[str, Any]],
        *,
        constrained: bool,
    ) -> None:
        self._front, self._set, self._cells = (result.get(name) for name in ("front", "diverse", "elites"))
        self._unit, self._constrained = str(result.get("unit", "")), constrained
        first = [row.value for row in every if row.value is not None][:_FIRST]
        self._lowest = self._cells["offset"] if self._cells else min(first, default=0.0)
        ends = {row.population: place for place, row in enumerate(every, 1)}
        self._sets = [(ends[number], one) for number, one in sorted(sets.items()) if number in ends]
        if self._set is not None:
            ids, apart = [one["id"] for one in self._set["members"]], self._set["mean_distance"]
            self._sets.append((len(every), {"members": ids, "mean_distance": apart}))

    @property
    def statistic(self) -> str:
        """What the runs are compared by."""
        if self._front is not None:
            return HYPERVOLUME
        return SET if self._set is not None else CELLS if self._cells is not None else REWARD

    @property
    def unit(self) -> str:
        """Unit of that."""
        return self._unit if self._front is None else " x ".join(unit or "1" for unit in self._front["units"])

    def alone(self, first: QueryRow) -> Any:
        """Return the worth of the first candidate by itself; None where it has no score, or is not the first."""
        if first.id or (self.statistic == REWARD and first.value is None):
            return None
        if self._front is not None:
            return self._volume(self._able([first]))
        rewards = tuple(row.value for row in self._able([first]) if row.value is not None)
        if self._set is not None:
            return Places(rewards, self._lowest, self._set["size"])
        return first.value if self._cells is None else Places(rewards, self._lowest)

    def columns(self, rows: Sequence[QueryRow]) -> dict[str, Any]:
        """Return the worth `best` of the first rows of a run, and what there is to say of its set and its cells.

        `best` is None while no candidate may win.
        """
        able = self._able(rows)
        found = {**self._of_set(rows), **self._of_cells(able)}
        if self._front is not None:
            found["best"] = self._volume(able)
        elif self._set is None and self._cells is not None:
            found["best"] = found["qd_score"]
        elif self._set is None:
            found["best"] = max((row.value for row in able if row.value is not None), default=None)
        return {**found, "best": found["best"] if able else None}

    def _able(self, rows: Sequence[QueryRow]) -> list[QueryRow]:
        return [row for row in rows if row.is_feasible(constrained=self._constrained)]

    def _volume(self, able: Sequence[QueryRow]) -> float:
        assert self._front is not None
        names = self._front["rewards"]
        values = np.array([[(row.components or {})[name] for name in names] for row in able], float)
        return hypervolume(values.reshape(len(able), len(names)), np.array(self._front["reference"], float))

    def _of_set(self, rows: Sequence[QueryRow]) -> dict[str, Any]:
        """Describe the set after the last population that ended within the rows."""
        if self._set is None:
            return {}
        known = [one for end, one in self._sets if end <= len(rows)]
        ids = set(known[-1]["members"]) if known else set()
        rewards = tuple(row.value for row in rows if row.id in ids and row.value is not None)
        return {
            "best": Places(rewards, self._lowest, self._set["size"]) if known else None,
            "members": len(rewards) if known else None,
            "mean_reward": float(np.mean(rewards)) if rewards else None,
            "mean_distance": known[-1]["mean_distance"] if known else None,
            "prior_distance": self._set["usual"],
        }

    def _of_cells(self, able: Sequence[QueryRow]) -> dict[str, Any]:
        if self._cells is None:
            return {}
        from zo_dno.search.elites import Grid

        names, cells = self._cells["measures"], self._cells["cells"]
        grid = Grid(tuple(names), tuple((low, high) for low, high in self._cells["ranges"]), cells)
        best: dict[tuple[int, ...], float] = {}
        for row in able:
            known = row.components or {}
            if row.value is not None and all(name in known for name in names):
                cell = grid.cell_of([known[name] for name in names])
                best[cell] = max(row.value, best.get(cell, row.value))
        return {"coverage": len(best) / grid.size, "qd_score": Places(tuple(best.values()), self._lowest)}
