"""The front of a run: the candidates that no other beats in all rewards, and how much they dominate."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zo_dno.results.kept import Kept
from zo_dno.search.archive import Found, values_of
from zo_dno.storage.ledger import QueryRow
from zo_dno.surrogate.pareto import front_rows, hypervolume


@dataclass(frozen=True, slots=True, eq=False)
class FrontRow(Kept):
    """A candidate of a front, with what every `Kept` one has.

    Attributes:
        rewards: Value of each reward, by name, in its own unit.
    """

    rewards: Mapping[str, float]

    def __repr__(self) -> str:
        return f"FrontRow({self.id}: {', '.join(f'{name} {value:.4g}' for name, value in self.rewards.items())})"


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """The candidates that no other beats in all rewards, each plausible and within all requirements.

    Attributes:
        rewards: Names of the rewards.
        units: Unit of each reward.
        reference: Reference point, a value for each reward.
        source: Where the reference point comes from, in words.
        rows: Candidates along the front, those with the highest first reward first.
        hypervolume: Volume between the reference point and the front, in the product of the units.
    """

    rewards: tuple[str, ...]
    units: tuple[str, ...]
    reference: tuple[float, ...]
    source: str
    rows: tuple[FrontRow, ...]
    hypervolume: float

    @classmethod
    def of(
        cls,
        found: Sequence[Found],
        rewards: Sequence[str],
        units: Sequence[str],
        reference: Sequence[float],
        source: str,
    ) -> "Front":
        """Order the candidates of a front, and measure what they dominate."""
        values = {one.id: values_of(one, rewards) for one in found}
        ordered = sorted(found, key=lambda one: (*(-values[one.id]), one.id))
        rows = tuple(FrontRow(one, dict(zip(rewards, values[one.id].tolist(), strict=True))) for one in ordered)
        matrix = np.array([values[one.id] for one in ordered]).reshape(len(ordered), len(rewards))
        volume = hypervolume(matrix, np.array(reference, float))
        return cls(tuple(rewards), tuple(units), tuple(reference), source, rows, volume)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[FrontRow]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return f"Front({len(self)} candidates, hypervolume {self.hypervolume:.4g} above {self.stated})"

    @property
    def stated(self) -> str:
        """The reference point in words, such as "jpeg_smaller -3.2 kB, prompt_match 0.1 probability"."""
        named = zip(self.rewards, self.reference, self.units, strict=True)
        return ", ".join(f"{name} {value:.4g} {unit}".rstrip() for name, value, unit in named)

    @property
    def unit(self) -> str:
        """Unit of the hypervolume."""
        return " x ".join(unit or "1" for unit in self.units)

    @property
    def matrix(self) -> np.ndarray:
        """Values of the candidates, (n, m)."""
        return np.array([[*row.rewards.values()] for row in self.rows]).reshape(len(self), len(self.rewards))

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {
            "rewards": list(self.rewards),
            "units": list(self.units),
            "reference": list(self.reference),
            "source": self.source,
            "hypervolume": self.hypervolume,
            "rows": [{"id": row.id, "rewards": dict(row.rewards), "image": row.found.sha256} for row in self.rows],
        }


def rewards_of(config: Mapping[str, Any]) -> list[str]:
    """Return the names of the rewards whose front a run searches, as its config has them; empty without a front."""
    parts = (config.get("reward_options") or {}).get("parts")
    if config.get("reward") != "front" or not isinstance(parts, Mapping):
        return []
    weights = {name: one.get("weight", 1) if isinstance(one, Mapping) else one for name, one in parts.items()}
    return [str(name) for name, weight in weights.items() if weight != 0]


def front_among(rows: Sequence[QueryRow], rewards: Sequence[str], *, constrained: bool) -> list[QueryRow]:
    """Return the recorded queries of a front: those that may win, and that no other beats in all rewards."""
    able = [row for row in rows if row.is_feasible(constrained=constrained) and row.components]
    values = np.array([[(row.components or {}).get(name, np.nan) for name in rewards] for row in able], float)
    return [able[place] for place in front_rows(values.reshape(len(able), len(rewards)))]
