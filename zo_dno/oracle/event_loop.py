"""An event loop in a thread of its own, which runs calls while the caller's thread renders.

anyio's blocking portal is no substitute: its close waits for name look-ups in the default executor and cancels the
clean-up of coroutines as well.
"""

import asyncio
import concurrent.futures
import contextlib
import inspect
import logging
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from zo_dno.failures import text_of

log = logging.getLogger(__name__)
T = TypeVar("T")
_RESPONDS = 30.0  # seconds within which the loop must run a callback, or a reward's coroutine blocks it
_LOOKS = 1.0  # seconds of one wait: a signal that comes right before a wait does not end it
_ENDS = 5.0  # seconds for cancelled coroutines to end; those that go on are abandoned


class EventLoopThread(Generic[T]):
    """Runs coroutines and collects what they return, in the order in which they finish.

    Args:
        on_silence: Function that is called with the seconds for which nothing has finished, now and then.
    """

    def __init__(self, on_silence: Callable[[float], None] = lambda seconds: None) -> None:
        self._on_silence = on_silence
        self._done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancelling = self._closing = False
        self._made = made = concurrent.futures.Future[asyncio.AbstractEventLoop]()
        # The loop is made in its thread, where no Ctrl-C can cut that off and leave half of one behind.
        self._thread = threading.Thread(target=self._serve, args=(made,), name="zo-dno event loop", daemon=True)
        try:
            self._thread.start()
            self._loop = made.result()
        except BaseException:  # Ctrl-C: the caller has nothing to close yet
            self._closing = True
            made.add_done_callback(_stop)
            raise

    def start(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Start a coroutine."""
        self._loop.call_soon_threadsafe(self._begin, coroutine)

    def post(self, value: T | BaseException) -> None:
        """Add a value for `finished` to return, or an exception for it to raise; from any thread."""
        self._done.put(value)

    def finished(self) -> list[T]:
        """Wait until at least one coroutine has finished, and return what all that have finished returned."""
        found: list[T] = []
        while not found or not self._done.empty():
            one = self._next()
            if isinstance(one, BaseException):
                for other in found:  # returned by the next call
                    self._done.put(other)
                raise one
            found.append(one)
        return found

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Start a coroutine that `finished` does not return."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine, and return what it returns."""
        return self.submit(coroutine).result()

    def close(self, last: Coroutine[Any, Any, None] | None = None) -> None:
        """Cancel the coroutines in flight and end the thread.

        Args:
            last: Coroutine to run before that. Neither it nor a coroutine that ignores its cancellation, nor one that
                blocks the loop, is waited for longer than some seconds.
        """
        self._cancelling = True
        for coroutine in (*([last] if last is not None else ()), self._cancel()):
            try:
                self.submit(coroutine).result(timeout=2 * _ENDS)
            except Exception as error:
                log.warning("calls did not end in order: %s", text_of(error))
        self._closing = True
        _stop(self._made)
        self._thread.join(timeout=_ENDS)

    def _serve(self, made: "concurrent.futures.Future[asyncio.AbstractEventLoop]") -> None:
        """Run the loop until it is closed, even where code of others that runs on it stops it or cancels its tasks."""
        loop = asyncio.new_event_loop()
        made.set_result(loop)
        while not self._closing:
            try:
                loop.run_forever()
            except BaseException as error:  # of a task that a reward began on its own
                log.warning("a task of the reward's own ended with %s", text_of(error))
        loop.close()

    def _next(self) -> T | BaseException:
        """Wait for the next value, and say what is wrong if none comes because the loop is blocked."""
        asked, warned, silent = threading.Event(), False, 0.0
        asked.set()
        while True:
            due = time.monotonic() + _RESPONDS
            while (left := due - time.monotonic()) > 0:
                with contextlib.suppress(queue.Empty):
                    return self._done.get(timeout=min(left, _LOOKS))
            silent += _RESPONDS
            if asked.is_set():
                asked.clear()
                self._loop.call_soon_threadsafe(asked.set)
                self._on_silence(silent)
            elif not warned:
                warned = True
                log.warning(
                    "a reward's coroutine has blocked its event loop for %.0f s, so no timeout can work: it must await "
                    "what takes long. A plain function may block, as it is called in a thread.",
                    _RESPONDS,
                )

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> None:
        task = self._loop.create_task(self._collect(coroutine))
        self._tasks.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
                return
            if self._cancelling:
                coroutine.close()
            else:  # a reward cancelled the task before its first step, so nothing has been asked: ask
                self._begin(coroutine)

        task.add_done_callback(ended)

    async def _collect(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._done.put(await coroutine)
        except BaseException as error:  # of any kind: `finished` waits for it
            self._done.put(error)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            _, going_on = await asyncio.wait(others, timeout=_ENDS)
            if going_on:
                log.warning("%d calls ignore that they were cancelled; they are abandoned", len(going_on))


def _stop(made: "concurrent.futures.Future[asyncio.AbstractEventLoop]") -> None:
    with contextlib.suppress(RuntimeError):  # it is closed
        made.result().call_soon_threadsafe(made.result().stop)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run a function in a new daemon thread, which can be abandoned if it hangs, at exit as well."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # SystemExit too, or the future would never be settled
            error = RuntimeError(text_of(raised))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await future
