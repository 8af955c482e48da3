"""Slots of an actor pool, the calls that go to them, and the errors that end a call."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from zo_dno.failures import one_line


class ActorError(Exception):
    """A call that failed because of its actor, not because of the work.

    Attributes:
        kind: "worker died", "no workers" or "kills workers".
        hopeless: Whether no other actor can do the work either.
    """

    def __init__(self, kind: str, message: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.kind, self.hopeless = kind, hopeless


class NeverBegunError(Exception):
    """The end of a call whose actor died before the call's turn came."""


@dataclass(slots=True, eq=False)
class Slot:
    """A place in the pool that one actor after another fills.

    Attributes:
        epoch: Number of actors that filled the slot so far.
        ready: Whether the present actor takes calls.
        deaths: Number of actors that died in this slot since any actor of the pool last completed a call.
        late: Number of calls in a row that timed out.
        next: Call that waits at the actor for its turn.
    """

    actor: Any = None
    epoch: int = 0
    ready: bool = False
    deaths: int = 0
    late: int = 0
    next: "ActorCall | None" = None


@dataclass(slots=True, eq=False)
class ActorCall:
    """A call that an actor works on, or that waits at the actor for its turn.

    Attributes:
        epoch: Epoch of the slot when the call was made.
        timeout: Seconds from the call's turn on; None for no limit.
        started: Whether its turn has come.
        since: Time of its turn, by the monotonic clock.
        clock: Timeout of the call while it runs.
    """

    slot: Slot
    epoch: int
    actor: Any
    timeout: float | None
    started: bool
    since: float = field(default_factory=time.monotonic)
    clock: asyncio.Timeout | None = None

    def start(self) -> None:
        """Start the call's time: its turn has come."""
        self.started, self.since = True, time.monotonic()
        if self.timeout is not None and self.clock is not None:
            self.clock.reschedule(asyncio.get_running_loop().time() + self.timeout)


def reason_of(error: Exception) -> str:
    """Return the cause of an actor's death: the last line of Ray's account where that has a traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    cause = lines[-1] if "Traceback" in str(error) or "creation task" in str(error) else " ".join(lines[:2])
    return one_line(f"{type(error).__name__}: {cause}")
