"""The contract of a search strategy: ask for candidates, tell their scores."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.types import Candidates

Regularizer = Callable[["Tensor"], "Tensor"]
"""(n, d) -> (n,): gamma * R(z) <= 0, differentiable."""


@runtime_checkable
class Strategy(Protocol):
    """Proposes noise and learns from scores; never sees a model, an image or a prompt.

    Laws that the tests hold every strategy to:
        - the same d, horizon, seed and options, told the same scores, asks for the same candidates, bit for bit;
        - id 0 is the noise that the search starts from;
        - a population may be told in parts, in any order of the parts, and NaN (missing) in any place;
        - `load_state_dict(state_dict())` on a fresh instance goes on as the old one would;
        - global random generators are neither read nor written.
    """

    def ask(self) -> "Candidates":
        """Propose the next population.

        Raises:
            AskTellError: the last population was not told completely.
        """
        ...

    def tell(self, candidates: "Candidates", scores: "Tensor") -> None:
        """Learn from the scores of what was asked, or of a part of it.

        Args:
            candidates: rows of the last `ask`.
            scores: (n,), higher is better, NaN is missing.
        Raises:
            AskTellError: the scores are not (n,), or a candidate was not asked or was told already.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on: tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class UsesRegularizer(Protocol):
    """A strategy that takes the regulariser's gradient itself; it is then told the rewards without it."""

    def use_regularizer(self, regularizer: Regularizer) -> None: ...
