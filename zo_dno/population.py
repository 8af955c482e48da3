"""What one `ask` proposed, on its way from noise to scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zo_dno.ledger import PopulationRow, Query
from zo_dno.objective import Plausibility
from zo_dno.types import Candidates, Drawn


@dataclass(slots=True)
class Population:
    """What one `ask` proposed, and the rows of those that were asked about."""

    row: PopulationRow
    candidates: Candidates
    rows: dict[int, Query] = field(default_factory=dict)
    drawn: list[Drawn] = field(default_factory=list)
    plausibility: Plausibility | None = None
    image_noise: Tensor | None = None

    def has_answer(self, id_: int) -> bool:
        """The candidate has a score, or will have none."""
        return id_ in self.rows and self.rows[id_].answered

    @property
    def answered(self) -> int:
        """How many candidates have an answer."""
        return sum(row.answered for row in self.rows.values())

    @property
    def complete(self) -> bool:
        """Every candidate has an answer."""
        return self.answered == len(self.candidates)


def rewards_of(rows: Sequence[Query]) -> Tensor:
    """Return the rewards of rows, (n,) float64; NaN is missing."""
    return torch.tensor([math.nan if row.value is None else row.value for row in rows], dtype=torch.float64)


def shortfall_of(rows: Sequence[Query]) -> Tensor:
    """Return how far rows are from what the reward requires, (n,) float64."""
    return torch.tensor([row.shortfall for row in rows], dtype=torch.float64)
