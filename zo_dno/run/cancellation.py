"""Stopping a run from another thread, as Ctrl-C stops one in the main thread."""

import threading
from collections.abc import Callable


class Stop:
    """Hand it to `optimize`, and call it from anywhere.

    The first call stops the run once what is under way is answered; the second does not wait for that.
    """

    def __init__(self) -> None:
        self._lock, self._calls, self._listeners = threading.Lock(), 0, list[Callable[[], None]]()

    def __call__(self) -> None:
        with self._lock:
            self._calls += 1
            listeners = [*self._listeners]
        for tell in listeners:
            tell()

    @property
    def called(self) -> bool:
        """Somebody wants the run to end."""
        return self._calls > 0

    def tell(self, listener: Callable[[], None]) -> None:
        """Call `listener` at every stop, and now for those that were."""
        with self._lock:
            self._listeners.append(listener)
            calls = self._calls
        for _ in range(calls):
            listener()
