"""What a run may spend."""

import time
from dataclasses import dataclass, field

from zo_dno.errors import InputError


@dataclass(slots=True)
class Budget:
    """A run ends when its queries or its seconds are spent, whichever is first.

    Args:
        queries: rewards that may be asked for.
        seconds: wall-clock time; the population under way is finished.
    """

    queries: int
    seconds: float | None = None
    _started: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise InputError(f"queries must be at least 1; got {self.queries}.")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"seconds must be more than 0; got {self.seconds}.")

    def left(self, asked: int) -> int:
        """Return how many queries may still be asked after `asked` of them."""
        late = self.seconds is not None and time.perf_counter() - self._started >= self.seconds
        return 0 if late else max(0, self.queries - asked)
