"""The base class of surrogates that search every candidate of a round for a worth of its own."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.strategies.surrogate import GRADIENTS, Surrogate
from zo_dno.strategy import Problem
from zo_dno.surrogate.climb import climb
from zo_dno.surrogate.features import PIXELS, Family
from zo_dno.surrogate.knowledge import Learned
from zo_dno.surrogate.scalarised import SplitError


class OwnWorths(Surrogate):
    """A surrogate whose candidates of a round differ in what is climbed: a direction, or a place in a set.

    Its arguments are those of `surrogate` that suit several images. Nothing is left for later prompts.
    """

    GRADIENTS: ClassVar[int] = GRADIENTS

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 8,
        first: int = 0,
        renders: int = 0,
        step: float = 0.15,
        optimism: float = 0.15,
        fresh: float = 0.1,
        features: Sequence[str | Family] = PIXELS,
        embedding: str | None = None,
    ) -> None:
        super().__init__(
            problem,
            population=population,
            first=first,
            renders=renders,
            step=step,
            optimism=optimism,
            fresh=fresh,
            features=features,
            embedding=embedding,
        )
        self._together = True
        self._take(problem)

    def _take(self, problem: Problem) -> None:
        """Take what else the problem says, before the first `ask`."""

    @property
    def learned(self) -> Learned | None:
        return None

    def _climb_each(
        self, z: Tensor, worth: Callable[[Tensor], Tensor], of: Callable[[int], Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Climb from every row of z, by a worth of all rows at once or by that of each row."""
        if self._together:
            try:
                return self._climb(z, worth)
            except SplitError:  # which images a block holds depends on the batch size
                self._together = False
        return torch.cat([self._climb(z[row, None], of(row)) for row in range(len(z))])

    def _climb(self, z: Tensor, worth: Callable[[Tensor], Tensor]) -> Tensor:
        return climb(z, self.model, worth, self.sizes, self.renders or self.GRADIENTS, self._trusted_share * self.step)
