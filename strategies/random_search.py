"""Best-of-N: independent draws from the prior, the baseline of every other strategy."""

from typing import ClassVar

from torch import Tensor

from zo_dno.strategies.base import PopulationStrategy


class RandomSearch(PopulationStrategy):
    """Draw every candidate from the prior and learn nothing; the best of them is best-of-N."""

    TAKES_LAG: ClassVar[bool] = True

    @property
    def n_prior(self) -> int:
        return self.horizon

    def _sample(self) -> Tensor:
        z = self.randn(self.population)
        if self._first_id == 0:
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        """Nothing is learnt."""
