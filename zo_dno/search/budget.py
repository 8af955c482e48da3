"""What a run may spend: queries, denoiser calls, seconds and money."""

import math
from dataclasses import dataclass
from typing import Literal

from zo_dno.errors import InputError

Limit = Literal["queries", "nfe", "seconds", "cost"]


@dataclass(frozen=True, slots=True)
class Budget:
    """A run ends when one of these is spent, whichever is first.

    Args:
        queries: rewards that may be asked for, remembered answers included.
        seconds: wall-clock time of all its sessions; the population under way is finished.
        nfe: denoiser calls.
    """

    queries: int
    seconds: float | None = None
    nfe: int | None = None

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise InputError(f"queries must be at least 1; got {self.queries}.")
        if self.nfe is not None and self.nfe < 1:
            raise InputError(f"nfe must be at least 1; got {self.nfe}.")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"seconds must be more than 0; got {self.seconds}.")

    def left(self, asked: int, seconds: float, nfe_per_image: int) -> int:
        """Return how many queries may still be asked after `asked` of them in so many seconds."""
        if self.seconds is not None and seconds >= self.seconds:
            return 0
        return max(0, self._images(nfe_per_image) - asked)

    def limit(self, asked: int, nfe_per_image: int) -> Limit:
        """Name what is spent, once nothing is left."""
        if asked >= self.queries:
            return "queries"
        return "nfe" if asked >= self._images(nfe_per_image) else "seconds"

    def _images(self, nfe_per_image: int) -> int:
        return self.queries if self.nfe is None else min(self.queries, self.nfe // max(1, nfe_per_image))


class Purse:
    """Money: what is spent, what is reserved for calls under way, and the most that may be.

    Spent and reserved together never exceed the cap, so whatever the calls under way come to cost, the cap holds.

    Args:
        max_cost: in the unit of the prices; None has no end.
    """

    def __init__(self, max_cost: float | None = None) -> None:
        if max_cost is not None and not (max_cost > 0 and math.isfinite(max_cost)):
            raise InputError(f"max_cost must be more than 0; got {max_cost}.")
        self.max_cost = max_cost
        self.spent = 0.0
        self.reserved = 0.0

    def reserve(self, amount: float) -> bool:
        """Put money aside for a query; False if that could exceed the cap."""
        if self.max_cost is not None and self.spent + self.reserved + amount > self.max_cost * (1 + 1e-12):
            return False
        self.reserved += amount
        return True

    def settle(self, reserved: float, cost: float) -> None:
        """Replace what was reserved by what it cost."""
        self.reserved = max(0.0, self.reserved - reserved)
        self.spent += cost
