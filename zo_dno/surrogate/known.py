"""The scored images that a surrogate learns from."""

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from zo_dno.strategy import Measured


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Scored images, a row each.

    Attributes:
        z: Noise, (n, d).
        features: Features, (n, m).
        scores: Scores that the strategy was told, (n,), which order the images.
        rewards: Rewards without penalties, (n,).
        errors: Standard errors of the rewards, (n,); 0 where they are not known.
        margins: Margins by which thresholds are met, (n, k); NaN is missing.
        ids: Ids of the candidates, (n,).
    """

    z: Tensor
    features: Tensor
    scores: Tensor
    rewards: Tensor
    errors: Tensor
    margins: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All columns by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, z: Tensor, features: Tensor, scores: Tensor, measured: Measured, first_id: int) -> Self:
        """Join what is known of the candidates of a population, whose ids count up from `first_id`."""
        told = [one.float() for one in (measured.rewards, measured.errors, measured.margins)]
        ids = torch.arange(first_id, first_id + len(scores))
        columns = [z, features, scores, *told, ids, *cls._of_front(scores, measured)]
        return cls(*columns)

    @staticmethod
    def _of_front(scores: Tensor, measured: Measured) -> tuple[Tensor, ...]:
        return ()

    def rows(self, which: Tensor) -> Self:
        """Return the rows of indices or of a mask."""
        return type(self)(**{name: column[which] for name, column in self.tensors.items()})

    def joined(self, other: Self) -> Self:
        """Return these rows and others after them."""
        return type(self)(**{name: torch.cat([column, getattr(other, name)]) for name, column in self.tensors.items()})


@dataclass(frozen=True, slots=True, eq=False)
class KnownOfFront(Known):
    """Scored images of a front.

    Attributes:
        values: Values of the rewards, (n, m).
        violations: Violations of all constraints, (n,); 0 where a candidate can win.
    """

    values: Tensor
    violations: Tensor

    @staticmethod
    def _of_front(scores: Tensor, measured: Measured) -> tuple[Tensor, ...]:
        if measured.values is None or measured.violations is None:  # a single reward
            return scores[:, None].double(), torch.zeros(len(scores), dtype=torch.float64)
        return measured.values.clone(), measured.violations.clone()
