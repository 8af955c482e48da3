"""A step size that falls over the horizon."""

from dataclasses import dataclass

from zo_dno.errors import InputError
from zo_dno.strategies.prior import INIT_STEP


@dataclass(frozen=True, slots=True)
class AnnealedStep:
    """A step that falls geometrically.

    Args:
        first: Step at the start, at most 1.
        last: Step at the end of the horizon and after it.
        has_init: Whether the search starts around given noise; the first step is then at most 0.5.
    Raises:
        InputError: 0 < last <= first <= 1 does not hold.
    """

    first: float
    last: float
    has_init: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.last <= self.first <= 1:
            raise InputError(f"steps must be 0 < last_step <= first_step <= 1; got {self.last} and {self.first}.")

    def at(self, progress: float) -> float:
        """Return the step after a share of the horizon, 0 to 1."""
        first = min(self.first, max(INIT_STEP, self.last)) if self.has_init else self.first
        return float(first * (self.last / first) ** progress)
