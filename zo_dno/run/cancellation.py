"""Cancellation of a run from another thread, as Ctrl-C in the main thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """Handle for `optimize(stop=...)`, called from any thread.

    The first call ends the run once the queries in flight have their scores; the second does not wait for them.
    """

    def __init__(self) -> None:
        # reentrant: a signal may call it while the main thread is in it
        self._lock, self._calls, self._listeners = threading.RLock(), 0, list[Callable[[], None]]()

    def __call__(self) -> None:
        with self._lock:
            self._calls += 1
            listeners = [*self._listeners]
        for tell in listeners:
            tell()

    @property
    def called(self) -> bool:
        """Whether the run is to end."""
        return self._calls > 0

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call `listener` at every stop inside the block, and at once for the stops so far."""
        with self._lock:
            self._listeners.append(listener)
            calls = self._calls
        try:
            for _ in range(calls):
                listener()
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)
