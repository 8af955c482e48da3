"""Ctrl-C, and the signals by which a scheduler or a closed terminal ends a process, which count as Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def take_as_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt; one that is ignored, as `nohup` does, stays so."""
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def deferred(on_press: Callable[[], None], times: int = 1) -> Iterator[Callable[[], bool]]:
    """Call `on_press` at a signal instead of raising KeyboardInterrupt; one more than `times` raises it at once.

    Only signals that would raise it are deferred, and only in the main thread.

    Args:
        on_press: Function that is called in the main thread, wherever it is.
        times: Number of signals that are deferred.
    Yields:
        Function that returns whether there was a signal.
    """
    ours = _raising() if threading.current_thread() is threading.main_thread() else []
    presses = 0

    def press(number: int, frame: object) -> None:
        nonlocal presses
        presses += 1
        if presses >= times:
            _set(ours, signal.default_int_handler)
        on_press()

    _set(ours, press)
    try:
        yield lambda: presses > 0
    finally:
        _set(ours, signal.default_int_handler)


@contextmanager
def insisting() -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if a signal came and code in the block caught the exception.

    An exception of the block after a signal gives way to it.
    """
    ours = _raising() if threading.current_thread() is threading.main_thread() else []
    pressed = False

    def press(number: int, frame: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    try:
        _set(ours, press)
        yield
    except Exception:
        if not pressed:
            raise
    finally:
        while any(signal.getsignal(number) is press for number in ours):
            with suppress(KeyboardInterrupt):  # of a signal that comes now
                _set(ours, signal.default_int_handler)
    if pressed:
        raise KeyboardInterrupt


def _raising() -> list[signal.Signals]:
    return [number for number in SIGNALS if signal.getsignal(number) is signal.default_int_handler]


def _set(numbers: list[signal.Signals], handler: Any) -> None:
    for number in numbers:
        signal.signal(number, handler)
