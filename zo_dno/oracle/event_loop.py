"""An event loop in a thread of its own, so that calls wait there while the run goes on here, notebooks included."""

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class EventLoopThread(Generic[T]):
    """Runs coroutines; what they return is collected in the order in which they finish."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._done: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="zo-dno asking", daemon=True)
        self._thread.start()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Begin to run a coroutine."""
        self._loop.call_soon_threadsafe(self._begin, coroutine)

    def post(self, value: T | BaseException) -> None:
        """Hand in something that is done by itself, or that `finished` raises; from any thread."""
        self._done.put(value)

    def finished(self) -> list[T]:
        """Wait for at least one coroutine to finish, and return what all that have finished returned."""
        found: list[T] = []
        while not found or not self._done.empty():
            one = self._done.get()
            if isinstance(one, BaseException):
                for other in found:  # they are for the next time
                    self._done.put(other)
                raise one
            found.append(one)
        return found

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        """Begin to run one coroutine whose end is no event for `finished`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run one coroutine and wait for what it returns."""
        return self.submit(coroutine).result()

    def close(self) -> None:
        """Give up what is under way and end the thread."""
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
    """Run a function in a new thread that nobody waits for: one that hangs can be given up, even at exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = function(*arguments)
        except BaseException as raised:  # SystemExit too: whoever waits must hear of it
            error = RuntimeError(f"{type(raised).__name__}: {raised}")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await future
