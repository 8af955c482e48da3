"""An event loop in a thread of its own, which runs calls while the caller's thread renders.

anyio's blocking portal is no substitute: its close waits for name look-ups in the default executor and cancels the
clean-up of coroutines as well.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class EventLoopThread(Generic[T]):
    """Runs coroutines and collects what they return, in the order in which they finish."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="zo-dno event loop", daemon=True)
        self._thread.start()

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
            one = self._done.get()
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

    def close(self) -> None:
        """Cancel the coroutines in flight and end the thread."""
        with contextlib.suppress(RuntimeError):
            self.run(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begin(self, coroutine: Coroutine[Any, Any, T]) -> None:
        task = self._loop.create_task(self._collect(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _collect(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            self._done.put(await coroutine)
        except Exception as error:
            self._done.put(error)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


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
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await future
