"""What one `ask` proposed, on its way from noise to scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from zo_dno.search.objective import Plausibility
from zo_dno.storage.ledger import PopulationRow, QueryRow
from zo_dno.types import Candidates, Rendered


@dataclass(slots=True)
class Population:
    """What one `ask` proposed, and the rows of those that were asked about.

    Attributes:
        wanted: ids that are being asked about.
        told: (n,) float64, what the strategy is told of a recorded population.
        known: the strategy knows it already.
    """

    row: PopulationRow
    candidates: Candidates
    rows: dict[int, QueryRow] = field(default_factory=dict)
    rendered: list[Rendered] = field(default_factory=list)
    plausibility: Plausibility | None = None
    image_noise: Tensor | None = None
    features: np.ndarray | None = None
    predictions: np.ndarray | None = None
    wanted: tuple[int, ...] = ()
    told: Tensor | None = None
    known: bool = False

    @property
    def under_way(self) -> int:
        """How many are being asked about."""
        return sum(not self.is_settled(id_) for id_ in self.wanted)

    @property
    def unsettled(self) -> int:
        """How many have no score yet, and may get one."""
        return sum(not self.is_settled(id_) for id_ in self.candidates.ids)

    def is_settled(self, id_: int) -> bool:
        """The candidate has a score, or will have none."""
        return id_ in self.rows and self.rows[id_].settled

    @property
    def complete(self) -> bool:
        """Every candidate is settled, and what was guessed is known."""
        if self.told is not None:
            return True
        known = self.predictions is not None or all(row.status != "screened" for row in self.rows.values())
        return known and sum(row.settled for row in self.rows.values()) == len(self.candidates)

    @property
    def rewards(self) -> Tensor:
        """Rewards of a complete population, (n,) float64, with guesses where nobody was asked; NaN is missing."""
        found = rewards_of([self.rows[id_] for id_ in self.candidates.ids])
        for place, id_ in enumerate(self.candidates.ids):
            if self.predictions is not None and self.rows[id_].status == "screened":
                found[place] = float(self.predictions[place])
        return found


def rewards_of(rows: Sequence[QueryRow]) -> Tensor:
    """Return the rewards of rows, (n,) float64; NaN is missing."""
    return torch.tensor([math.nan if row.value is None else row.value for row in rows], dtype=torch.float64)


def reward_violations(rows: Sequence[QueryRow]) -> Tensor:
    """Return how far rows are from what the reward requires, (n,) float64."""
    return torch.tensor([row.reward_violation for row in rows], dtype=torch.float64)
