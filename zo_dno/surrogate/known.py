"""The scored images that a surrogate learns from."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


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

    def rows(self, which: Tensor) -> "Known":
        """Return the rows of indices or of a mask."""
        return Known(**{name: column[which] for name, column in self.tensors.items()})

    def joined(self, other: "Known") -> "Known":
        """Return these rows and others after them."""
        return Known(**{name: torch.cat([column, getattr(other, name)]) for name, column in self.tensors.items()})
