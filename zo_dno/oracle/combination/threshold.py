"""Thresholds: the least or the largest value of a reward that a winner may have."""

import math
import re
from dataclasses import dataclass

from zo_dno.errors import InputError, given

_TEXT = re.compile(r"\s*(?P<term>\S.*?)\s*(?P<sign>>=|<=)\s*(?P<limit>\S+)\s*")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A limit on a term's value: a lower one if `at_least`, else an upper one."""

    term: str
    limit: float
    at_least: bool = True

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Parse text such as "prompt_match >= 0.9".

        Raises:
            InputError: It is not NAME >= NUMBER or NAME <= NUMBER.
        """
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        try:
            limit = float(found["limit"]) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not math.isfinite(limit):
            raise InputError(
                f"require must be NAME >= NUMBER or NAME <= NUMBER; got {given(text)}. Such as 'prompt_match >= 0.9'."
            )
        return cls(found["term"], limit, found["sign"] == ">=")

    def __str__(self) -> str:
        return f"{self.term} {'>=' if self.at_least else '<='} {repr(self.limit).removesuffix('.0')}"

    def margin(self, value: float) -> float:
        """Return by how much a value meets the limit, in the term's unit; below 0 if it does not."""
        return value - self.limit if self.at_least else self.limit - value

    def reward_violation(self, value: float) -> float:
        """Return how far a value is beyond the limit, in the term's unit; 0 if it meets the limit."""
        return max(0.0, -self.margin(value))

    def can_be_met(self, low: float, high: float) -> bool:
        """Return whether a value from low to high can meet the limit."""
        return self.limit <= high if self.at_least else self.limit >= low
