"""What one `ask` proposed, on its way from noise to scores."""

from dataclasses import dataclass, field

import numpy as np

from zo_dno.ledger import PopulationRow, Query
from zo_dno.objective import Plausibility
from zo_dno.types import Candidates


@dataclass(slots=True)
class Population:
    """What one `ask` proposed, and the rows of those that were asked about."""

    row: PopulationRow
    candidates: Candidates
    rows: dict[int, Query] = field(default_factory=dict)
    images: np.ndarray | None = None
    hashes: list[str] = field(default_factory=list)
    plausibility: Plausibility | None = None

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
