"""What a winner must have of one reward: at least, or at most, a number."""

import math
import re
from dataclasses import dataclass

from zo_dno.errors import InputError

_TEXT = re.compile(r"\s*(?P<part>\S.*?)\s*(?P<sign>>=|<=)\s*(?P<limit>\S+)\s*")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A part's value must be `at_least` the limit, or else at most the limit."""

    term: str
    limit: float
    at_least: bool = True

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Read text such as "prompt_match >= 0.9".

        Raises:
            InputError: it is not NAME >= NUMBER or NAME <= NUMBER.
        """
        found = _TEXT.fullmatch(text) if isinstance(text, str) else None
        try:
            limit = float(found["limit"]) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not math.isfinite(limit):
            raise InputError(
                f"require must be NAME >= NUMBER or NAME <= NUMBER; got {text!r}. Such as 'prompt_match >= 0.9'."
            )
        return cls(found["part"], limit, found["sign"] == ">=")

    def __str__(self) -> str:
        return f"{self.term} {'>=' if self.at_least else '<='} {repr(self.limit).removesuffix('.0')}"

    def reward_violation(self, value: float) -> float:
        """Return how far a value is from the limit, in the part's unit; 0 where it meets it."""
        return max(0.0, self.limit - value if self.at_least else value - self.limit)

    def can_be_met(self, low: float, high: float) -> bool:
        """Whether some value from low to high meets it."""
        return self.limit <= high if self.at_least else self.limit >= low
