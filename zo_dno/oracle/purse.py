"""The purse: money that is spent, reserved for calls in flight, and capped."""

import math

from zo_dno.errors import InputError


class Purse:
    """Money of a run. Spent and reserved together exceed the cap only where calls in flight cost more than expected.

    Args:
        max_cost: Cap in the unit of the prices; None means no cap.
    """

    def __init__(self, max_cost: float | None = None) -> None:
        if max_cost is not None and not (max_cost > 0 and math.isfinite(max_cost)):
            raise InputError(f"max_cost must be more than 0; got {max_cost}.")
        self.max_cost = max_cost
        self.spent = 0.0
        self.reserved = 0.0

    def reserve(self, amount: float) -> bool:
        """Reserve money for a query; False if the cap could be exceeded."""
        if self.max_cost is not None and self.spent + self.reserved + amount > self.max_cost * (1 + 1e-12):
            return False
        self.reserved += amount
        return True

    def reserve_more(self, amount: float) -> None:
        """Reserve more for a query in flight, even if the cap is exceeded."""
        self.reserved += amount

    def settle(self, reserved: float, cost: float) -> None:
        """Replace a reserved amount by the actual cost."""
        self.reserved = max(0.0, self.reserved - reserved)
        self.spent += cost
