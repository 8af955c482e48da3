"""The limits of a search: queries, denoiser calls and seconds."""

from dataclasses import dataclass
from typing import Literal

from zo_dno.errors import InputError

Limit = Literal["queries", "nfe", "seconds", "cost"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run, which ends at the first one that is reached.

    Args:
        queries: Number of queries, cached responses included.
        seconds: Wall-clock time of all sessions; the current population is finished.
        nfe: Number of denoiser calls.
    Raises:
        InputError: A limit is out of range.
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

    def left(self, queries: int, seconds: float, nfe_per_image: int, other_nfe: int = 0) -> int:
        """Return the number of queries left after `queries` of them in `seconds`, with `other_nfe` spent otherwise."""
        if self.seconds is not None and seconds >= self.seconds:
            return 0
        return max(0, self._images(nfe_per_image, other_nfe) - queries)

    def limit(self, queries: int, nfe_per_image: int, other_nfe: int = 0) -> Limit:
        """Return the limit that was reached, once nothing is left."""
        if queries >= self.queries:
            return "queries"
        return "nfe" if queries >= self._images(nfe_per_image, other_nfe) else "seconds"

    def _images(self, nfe_per_image: int, other_nfe: int) -> int:
        left = self.queries if self.nfe is None else (self.nfe - other_nfe) // max(1, nfe_per_image)
        return min(self.queries, left)
