"""Stopping a run from another thread, as Ctrl-C stops one in the main thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar["Interrupt | None"] = ContextVar("interrupt", default=None)


class Interrupt:
    """Ends the run within its scope by a KeyboardInterrupt, where the run waits or looks for one.

    It is heard once: by all that wait when it is asked for, else by who is the first to wait or to look.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unheard = False
        self._waiting: list[Callable[[], None]] = []

    def ask(self) -> None:
        """Ask the run to end; from any thread."""
        with self._lock:
            self._unheard = not self._waiting
            for wake in self._waiting:
                wake()

    def look(self) -> None:
        """Raise KeyboardInterrupt if one was asked for that nobody has heard."""
        with self._lock:
            heard, self._unheard = self._unheard, False
        if heard:
            raise KeyboardInterrupt

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Be the interrupt of the run that goes on in here."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def wake(self, call: Callable[[], None]) -> None:
        """Be called when an interrupt is asked for, or at once if one was and nobody has heard it."""
        with self._lock:
            self._waiting.append(call)
            if self._unheard:
                self._unheard = False
                call()


def on_interrupt(call: Callable[[], None]) -> None:
    """Be called when an interrupt is asked of the run within whose scope this is, if it has one."""
    interrupt = _current.get()
    if interrupt is not None:
        interrupt.wake(call)
