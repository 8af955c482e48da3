"""Clocks of event loops that a test sets: a timeout passes when the test says so, however slow the machine is."""

import asyncio
import selectors
import threading
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

from zo_dno.oracle import event_loop

PATIENCE = 300.0
"""Seconds to wait for something that must happen: only a hang takes longer."""

_STEPS = 20  # of a loop, in which the end of a call has started the clock of the call that waited for it


class Clock:
    """The time of all event loops that are made after `put_in_place`: real time and what a test adds to it."""

    def __init__(self):
        self._loops, self._lock = [], threading.Lock()

    def put_in_place(self, patch):
        """Let calls of rewards, and pools of actors, run on this clock."""
        patch.setattr(event_loop, "asyncio", SimpleNamespace(**{**vars(asyncio), "new_event_loop": self._new_loop}))
        return self

    def advance(self, seconds):
        """Let time pass once the loops have taken note of what has happened so far; from any thread."""
        with self._lock:
            loops = [loop for loop in self._loops if not loop.is_closed()]
        for loop in loops:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(loop.advance, seconds, _STEPS)

    def advance_after(self, seconds, happened: Callable[[], object]):
        """Let time pass once `happened` returns, which is called in a thread."""
        threading.Thread(target=lambda: (happened(), self.advance(seconds)), daemon=True).start()

    def _new_loop(self):
        loop = _LoopOnClock()
        with self._lock:
            self._loops.append(loop)
        return loop


class _LoopOnClock(asyncio.SelectorEventLoop):
    def __init__(self):
        self._ahead = 0.0
        super().__init__()

    def time(self):
        return super().time() + self._ahead

    def advance(self, seconds, steps):
        if steps:
            self.call_soon(self.advance, seconds, steps - 1)
        else:
            self._ahead += seconds


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self):
        super().__init__(_JumpingSelector(self))
        self.now = 0.0

    def time(self):
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop):
        super().__init__()
        self._loop = loop

    def select(self, timeout=None):
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        if not (ready := super().select(0)):
            self._loop.now += timeout
        return ready
