"""What a run may spend: queries, denoiser calls and seconds."""

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
