"""Making the calls of a reward: deadlines, retries, rate limits; here, in threads, on an event loop or in processes."""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import stamina
from aiolimiter import AsyncLimiter

from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure, failure_of, too_late
from zo_dno.oracle.call import Outcome, call, call_async
from zo_dno.oracle.event_loop import EventLoopThread, in_thread
from zo_dno.rng import stream_seed
from zo_dno.types import AnyImage, Score, array_of

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


class RemoteReward(Protocol):
    """Other processes that ask the reward.

    Attributes:
        spare: calls beside those under way that they take, so as to have no pause between two.
        queued: how many of these there are now.
    """

    spare: int

    @property
    def queued(self) -> int: ...

    async def call(
        self, images: Sequence[AnyImage], prompts: Sequence[str], keys: Sequence[str], timeout: float | None
    ) -> Outcome:
        """Ask one of them, for so many seconds at most; whatever happens to it, this returns."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """Images to be asked about together, and what became of it.

    Attributes:
        ticket: whatever the one who handed it in knows it by.
        images: that it is about.
        keys: of the images, for rewards that take them.
        known: what came of the first call, where it was made already.
        attempts: calls made.
        failures: of the calls that failed, in order.
        scores: one an image; None when the last call failed too.
    """

    ticket: Any
    images: Sequence[AnyImage]
    prompts: Sequence[str]
    keys: Sequence[str] = ()
    known: Outcome | None = None
    attempts: int = 0
    failures: list[Failure] = field(default_factory=list)
    scores: list[Score] | None = None


class Executor:
    """Carries out jobs on a reward's terms. Plain terms are carried out at once, in this thread.

    Args:
        reward: to call.
        policy: the terms.
        remote: processes to call it in.
        seed: of the random part of the waits between calls.
    """

    def __init__(self, reward: "Reward", policy: CallPolicy, remote: RemoteReward | None = None, seed: int = 0) -> None:
        self._reward, self._policy, self._remote = reward, policy, remote
        self._jitter = random.Random(stream_seed(seed, "jitter"))
        plain = policy.plain and not reward.is_async and remote is None
        self._loop: EventLoopThread[Request | None] | None = None if plain else EventLoopThread()
        self._limits = [] if plain else _limits(policy)
        self._finished: list[Request | None] = []
        self._interrupted = False

    @property
    def spare(self) -> int:
        """Calls beside those under way that are taken, as long as many more wait."""
        return self._remote.spare if self._remote is not None else 0

    @property
    def queued(self) -> int:
        """How many of these there are now."""
        return self._remote.queued if self._remote is not None else 0

    @property
    def waits(self) -> bool:
        """Calls are waited for while this thread does other things."""
        return self._loop is not None

    def start(self, request: Request) -> None:
        """Begin a job."""
        if self._loop is not None:
            self._loop.start(self._carry_out(request))
            return
        try:
            for attempt in self._attempts():
                with attempt:
                    request.attempts += 1
                    _note(request, self._call_here(request))
        except CallError:
            pass
        self._finished.append(request)

    def wake(self) -> None:
        """Let `finished` return although no job is done; called from any thread."""
        if self._loop is not None:
            self._loop.post(None)
        else:
            self._finished.append(None)

    def interrupt(self) -> None:
        """Let `finished` raise KeyboardInterrupt, as Ctrl-C does in the main thread; called from any thread."""
        self._interrupted = True
        if self._loop is not None:
            self._loop.post(KeyboardInterrupt())

    @contextmanager
    def taking_ctrl_c(self) -> Iterator[None]:
        """Let the first Ctrl-C come out of `finished`, lest answers that are being written down are lost by it.

        One that `finished` was not called for any more comes at the end, and a second one at once. So does every one
        where calls are made in this thread, or somebody else handles it.
        """
        ours = threading.current_thread() is threading.main_thread()
        if not (ours and self.waits and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
            yield
            return

        pressed = False

        def press(signum: int, frame: object) -> None:
            nonlocal pressed
            pressed = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.interrupt()

        signal.signal(signal.SIGINT, press)
        try:
            yield
            if pressed:
                self.finished()
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def finished(self) -> list[Request]:
        """Wait until a job is done, or somebody calls `wake`, and return all the jobs that are done."""
        if self._loop is not None:
            done = self._loop.finished()
        else:
            interrupted, self._interrupted = self._interrupted, False
            if interrupted:
                raise KeyboardInterrupt
            done, self._finished = self._finished, []
        return [request for request in done if request is not None]

    def close(self) -> None:
        """Give up what is under way, and let go of what calling needed."""
        if self._loop is not None:
            if self._reward.is_async and self._remote is None:
                self._loop.run(self._reward.aclose())
            self._loop.close()

    async def _carry_out(self, request: Request) -> Request:
        try:
            async with asyncio.timeout(self._policy.deadline) as clock:
                async for attempt in self._attempts():
                    with attempt:
                        for limiter, amount in self._limits:
                            await _off_the_clock(limiter.acquire(amount), clock)
                        request.attempts += 1
                        _note(request, await self._one_call(request))
        except CallError:
            pass
        except TimeoutError:
            message = f"no answer within the deadline of {self._policy.deadline:g} s"
            request.failures.append(Failure("timeout", message, transient=True, billed=True))
        return request

    def _call_here(self, request: Request) -> Outcome:
        if request.known is not None and request.attempts == 1:
            return request.known
        return call(self._reward, [array_of(image) for image in request.images], request.prompts, request.keys)

    async def _one_call(self, request: Request) -> Outcome:
        if self._remote is not None:
            return await self._remote.call(request.images, request.prompts, request.keys, self._policy.timeout)
        try:
            async with asyncio.timeout(self._policy.timeout):
                if self._reward.is_async:
                    return await call_async(self._reward, await _here(request.images), request.prompts, request.keys)
                return await in_thread(call, self._reward, await _here(request.images), request.prompts, request.keys)
        except TimeoutError:
            return too_late(self._policy.timeout)
        except Exception as error:  # a reward that ends its thread
            return failure_of(error)

    def _attempts(self) -> Any:
        """Iterate over a query's calls, waiting between them; works in `for` and in `async for`."""
        policy, started, waits = self._policy, time.monotonic(), iter(range(10**9))

        def wait(error: Exception) -> bool | float:
            failure = error.failure if isinstance(error, CallError) else None
            if failure is None or not failure.transient:
                return False
            seconds = min(policy.longest_wait, policy.first_wait * 2 ** next(waits))
            seconds *= 1 - self._jitter.random() / 2  # half of it is random, so that many do not come back at once
            if failure.retry_after is not None:
                seconds = failure.retry_after + seconds * self._jitter.random()
            late = policy.deadline is not None and time.monotonic() - started + seconds > policy.deadline
            return False if late else seconds

        return stamina.retry_context(on=wait, attempts=policy.attempts, timeout=None, wait_jitter=0)


def _note(request: Request, outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        request.failures.append(outcome)
        raise CallError(outcome)
    request.scores = outcome


def _limits(policy: CallPolicy) -> list[tuple[AsyncLimiter, float]]:
    """Make leaky buckets of at most a second's worth (or one call's), since providers count in windows of their own."""
    limits: list[tuple[AsyncLimiter, float]] = []
    for per_minute, amount in ((policy.requests_per_minute, 1), (policy.tokens_per_minute, policy.max_tokens)):
        if per_minute is not None:
            capacity = max(per_minute / 60, amount)
            limits.append((AsyncLimiter(capacity, capacity * 60 / per_minute), amount))
    return limits


async def _here(images: Sequence[AnyImage]) -> "list[np.ndarray]":
    """Bring images to this process."""
    if any(hasattr(image, "fetch") for image in images):
        return await in_thread(lambda: [array_of(image) for image in images])
    return [array_of(image) for image in images]


async def _off_the_clock(waiting: Awaitable[None], clock: asyncio.Timeout) -> None:
    """Wait without using up the deadline."""
    loop, due = asyncio.get_running_loop(), clock.when()
    left = None if due is None else due - loop.time()
    clock.reschedule(None)
    await waiting
    clock.reschedule(None if left is None else loop.time() + left)
