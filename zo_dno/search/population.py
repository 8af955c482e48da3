"""Populations on their way from noise to scores."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from zo_dno.noise.plausibility import Plausibility
from zo_dno.storage.ledger import PopulationRow, QueryRow
from zo_dno.types import Candidates, Rendered


@dataclass(slots=True)
class Population:
    """The candidates of one `ask` of the strategy, with everything known about them.

    Attributes:
        row: Row of the population in the ledger.
        candidates: Noise and ids.
        rows: Rows of the queries in the ledger, by id.
        rendered: Images that were rendered in this session, by id.
        plausibility: Plausibility of the noise.
        image_noise: Noise that the strategy adds to the images, (n, 3, H, W).
        features: Features of the images for pre-selection, (n, m).
        predictions: Predicted rewards, (n,); NaN where pre-selection predicts nothing.
        queried: Ids of the candidates that are being rendered and scored.
        told: Scores that the strategy was told in an earlier session, (n,) float64.
        known: Whether the strategy knows these scores already.
    """

    row: PopulationRow
    candidates: Candidates
    rows: dict[int, QueryRow] = field(default_factory=dict)
    rendered: dict[int, Rendered] = field(default_factory=dict)
    plausibility: Plausibility | None = None
    image_noise: Tensor | None = None
    features: np.ndarray | None = None
    predictions: np.ndarray | None = None
    queried: tuple[int, ...] = ()
    told: Tensor | None = None
    known: bool = False

    @property
    def in_flight(self) -> int:
        """Number of candidates that are being rendered or scored."""
        return sum(not self.is_settled(id_) for id_ in self.queried)

    @property
    def unsettled(self) -> int:
        """Number of candidates that have no score yet and may get one."""
        return sum(not self.is_settled(id_) for id_ in self.candidates.ids)

    def is_settled(self, id_: int) -> bool:
        """Return whether a candidate has a score, or will have none."""
        return id_ in self.rows and self.rows[id_].settled

    @property
    def complete(self) -> bool:
        """Whether every candidate is settled, and every prediction in the place of a score is known."""
        if self.told is not None:
            return True
        known = self.predictions is not None or all(row.status != "screened" for row in self.rows.values())
        return known and sum(row.settled for row in self.rows.values()) == len(self.candidates)

    @property
    def rewards(self) -> Tensor:
        """Rewards of a complete population, (n,) float64, predicted where pre-selection skipped the query."""
        found = rewards_of([self.rows[id_] for id_ in self.candidates.ids])
        for place, id_ in enumerate(self.candidates.ids):
            if self.predictions is not None and self.rows[id_].status == "screened":
                found[place] = float(self.predictions[place])
        return found


class PendingPopulations(deque[Population]):
    """The populations that the strategy proposed and is not told yet, in order."""

    @property
    def in_flight(self) -> int:
        """Number of candidates that are being rendered or scored."""
        return sum(population.in_flight for population in self)

    @property
    def unsettled(self) -> int:
        """Number of candidates that have no score yet and may get one."""
        return sum(population.unsettled for population in self)

    def of(self, id_: int) -> Population | None:
        """Return the population of a candidate, or None once it is told."""
        return next((population for population in self if id_ in population.candidates.ids), None)


def rewards_of(rows: Sequence[QueryRow]) -> Tensor:
    """Return the rewards of rows, (n,) float64; NaN is missing, or was so when the strategy was told."""
    values = [math.nan if row.value is None or row.scored_later else row.value for row in rows]
    return torch.tensor(values, dtype=torch.float64)


def reward_violations(rows: Sequence[QueryRow]) -> Tensor:
    """Return the violations of the reward's constraints, (n,) float64."""
    return torch.tensor([row.reward_violation for row in rows], dtype=torch.float64)


def told_before(population: Population) -> Tensor | None:
    """Return the scores (n,) that an earlier session told the strategy; None where it did not come to that."""
    rows = [population.rows.get(id_) for id_ in population.candidates.ids]
    if any(row is None or row.told_seq is None for row in rows):
        return None
    return torch.tensor([math.nan if row.told is None else row.told for row in rows if row], dtype=torch.float64)
