"""The executor of requests: retries, deadlines and rate limits of calls, in this thread, on an event loop or remote."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import stamina
from aiolimiter import AsyncLimiter

from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure, failure_of, too_late
from zo_dno.oracle.call import call, call_async
from zo_dno.oracle.ctrl_c import deferred
from zo_dno.oracle.event_loop import EventLoopThread, in_thread
from zo_dno.rng import stream_seed
from zo_dno.types import AnyImage, Query, RemoteImage, Score, array_of

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward

log = logging.getLogger(__name__)
logging.getLogger("stamina").addHandler(logging.NullHandler())  # else Python prints its bare name at every retry
_SAYS_SO = 300.0  # seconds between two notes that calls do not return


class RemoteReward(Protocol):
    """A reward in other processes.

    Attributes:
        spare: Number of calls accepted beyond those in flight, so that no process idles between two calls.
        queued: Number of such calls now.
    """

    spare: int

    @property
    def queued(self) -> int: ...

    async def call(
        self, images: Sequence[AnyImage], prompts: Sequence[str], keys: Sequence[str], timeout: float | None
    ) -> list[Score] | Failure:
        """Score images in one of the processes, within `timeout` seconds; a failure is returned, never raised."""
        ...


@dataclass(slots=True, eq=False)
class Request:
    """A batch of queries to be scored by one call, with its retries and their result.

    Attributes:
        queries: Queries of the batch.
        keys: Keys of the queries, for rewards that take them.
        first_call: Scores, or the failure, of a first call that was made where the images were rendered; None without.
        attempts: Number of calls.
        failures: Failures of calls, in order.
        scores: One score per query; None if the last call failed as well.
    """

    queries: Sequence[Query]
    keys: Sequence[str] = ()
    first_call: list[Score] | Failure | None = None
    attempts: int = 0
    failures: list[Failure] = field(default_factory=list)
    scores: list[Score] | None = None

    def images(self, *, arrays: bool) -> list[AnyImage]:
        """Return the images to score, or the arrays for a reward that takes arrays."""
        return [query.given(arrays=arrays) for query in self.queries]

    @property
    def prompts(self) -> list[str]:
        return [query.prompt for query in self.queries]


class Executor:
    """Executes requests by a reward's call policy. A plain policy is executed synchronously, in this thread.

    Args:
        reward: Reward to call.
        policy: Call policy.
        remote: The reward in other processes; without it, calls are made in this process.
        seed: Seed of the random part of the waits between calls.
    """

    def __init__(self, reward: "Reward", policy: CallPolicy, remote: RemoteReward | None = None, seed: int = 0) -> None:
        self._reward, self._policy, self._remote = reward, policy, remote
        self._jitter = random.Random(stream_seed(seed, "jitter"))
        plain = policy.plain and not reward.is_async and remote is None
        self._loop: EventLoopThread[Request | None] | None = None if plain else EventLoopThread(self._say_waiting)
        self._in_flight, self._closing = 0, False
        self._limits = [] if plain else _limits(policy)
        self._finished: list[Request | None] = []
        self._interrupted = False

    @property
    def spare(self) -> int:
        """Number of calls that other processes accept beyond those in flight."""
        return self._remote.spare if self._remote is not None else 0

    @property
    def queued(self) -> int:
        """Number of such calls now."""
        return self._remote.queued if self._remote is not None else 0

    @property
    def waits(self) -> bool:
        """Whether calls are in flight while this thread does other work."""
        return self._loop is not None

    def start(self, request: Request) -> None:
        """Start a request."""
        if self._loop is not None:
            self._in_flight += 1
            self._loop.start(self._execute(request))
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
        """Make `finished` return although no request has finished; from any thread."""
        if self._loop is not None:
            self._loop.post(None)
        else:
            self._finished.append(None)

    def interrupt(self) -> None:
        """Make `finished` raise KeyboardInterrupt, as Ctrl-C does in the main thread; from any thread."""
        self._interrupted = True
        if self._loop is not None:
            self._loop.post(KeyboardInterrupt())

    @contextmanager
    def deferring_ctrl_c(self) -> Iterator[None]:
        """Raise the first Ctrl-C in `finished` alone, so that responses are not lost while they are written.

        It is raised at the end if `finished` is not called any more. A second Ctrl-C is raised at once, and so is every
        one if calls that cost nothing are made in this thread, or the signal has another handler.
        """
        if not self.waits and (self._reward.keeps_answers or not self._policy.keeps_everything):
            yield
            return
        with deferred(self.interrupt) as pressed:
            yield
            if pressed():
                self.finished()

    def finished(self) -> list[Request]:
        """Wait until a request finishes or `wake` is called, and return the requests that have finished."""
        if self._loop is not None:
            done = self._loop.finished()
            self._in_flight -= sum(request is not None for request in done)
        else:
            interrupted, self._interrupted = self._interrupted, False
            if interrupted:
                raise KeyboardInterrupt
            done, self._finished = self._finished, []
        return [request for request in done if request is not None]

    def close(self) -> None:
        """Cancel the requests in flight, and close the reward and the event loop."""
        self._closing = True
        if self._loop is not None:
            here = self._reward.is_async and self._remote is None
            self._loop.close(self._reward.aclose() if here else None)

    def _say_waiting(self, seconds: float) -> None:
        """Say what the run waits for, unless it is for people."""
        if self._in_flight and not self._reward.keeps_answers and seconds % _SAYS_SO == 0:
            log.warning(
                "%d calls of %r have not returned for %.0f s. %s",
                *(self._in_flight, self._reward.name, seconds),
                "They have no timeout; --timeout sets one." if self._policy.timeout is None else "",
            )

    async def _execute(self, request: Request) -> Request:
        try:
            async with asyncio.timeout(self._policy.deadline) as clock:
                async for attempt in self._attempts(clock):
                    with attempt:
                        for limiter, amount in self._limits:
                            await _outside_deadline(limiter.acquire(amount), clock)
                        request.attempts += 1
                        _note(request, await self._one_call(request))
        except CallError:
            pass
        except TimeoutError:
            message = f"no response within the deadline of {self._policy.deadline:g} s"
            request.failures.append(Failure("timeout", message, transient=True, billed=True))
        except asyncio.CancelledError:
            if self._closing:
                raise
            message = "the reward cancelled the task of its own call"
            request.failures.append(Failure("CancelledError", message, transient=False, billed=True))
        return request

    def _call_here(self, request: Request) -> list[Score] | Failure:
        if request.first_call is not None and request.attempts == 1:
            return request.first_call
        images = request.images(arrays=self._reward.takes_arrays)
        return call(self._reward, [array_of(image) for image in images], request.prompts, request.keys)

    async def _one_call(self, request: Request) -> list[Score] | Failure:
        if self._remote is not None:
            images = request.images(arrays=self._reward.takes_arrays)
            return await self._remote.call(images, request.prompts, request.keys, self._policy.timeout)
        task = asyncio.ensure_future(self._call_there(request))  # it may cancel itself, or ignore that it is cancelled
        try:
            await asyncio.wait([task], timeout=self._policy.timeout)
        finally:
            task.cancel()
        if not task.done():
            return too_late(self._policy.timeout)
        try:
            return task.result()
        except (Exception, asyncio.CancelledError) as error:
            return failure_of(error)

    async def _call_there(self, request: Request) -> list[Score] | Failure:
        images = await _local(request.images(arrays=self._reward.takes_arrays))
        if self._reward.is_async:
            return await call_async(self._reward, images, request.prompts, request.keys)
        return await in_thread(call, self._reward, images, request.prompts, request.keys)

    def _attempts(self, clock: asyncio.Timeout | None = None) -> Any:
        """Iterate over a request's calls, with the waits between them; works in `for` and in `async for`.

        Args:
            clock: Deadline of the request, which stands still while rate limits are waited for; None for none.
        """
        policy, waits = self._policy, iter(range(10**9))

        def wait(error: Exception) -> bool | float:
            failure = error.failure if isinstance(error, CallError) else None
            if failure is None or not failure.transient or policy.pauses_for(failure.retry_after):
                return False
            seconds = min(policy.longest_wait, policy.first_wait * 2 ** next(waits))
            seconds *= 1 - self._jitter.random() / 2  # half of it is random, so that many requests do not retry at once
            if failure.retry_after is not None:
                seconds = failure.retry_after + seconds * self._jitter.random()
            due = clock.when() if clock is not None else None
            late = due is not None and asyncio.get_running_loop().time() + seconds > due
            return False if late else seconds

        return stamina.retry_context(on=wait, attempts=policy.attempts, timeout=None, wait_jitter=0)


def _note(request: Request, result: list[Score] | Failure) -> None:
    if isinstance(result, Failure):
        request.failures.append(result)
        raise CallError(result)
    request.scores = result


def _limits(policy: CallPolicy) -> list[tuple[AsyncLimiter, float]]:
    """Make leaky buckets of one second's worth, or one call's if that is more: providers differ in their windows."""
    limits: list[tuple[AsyncLimiter, float]] = []
    for per_minute, amount in ((policy.requests_per_minute, 1), (policy.tokens_per_minute, policy.max_tokens)):
        if per_minute is not None:
            capacity = max(per_minute / 60, amount)
            limits.append((AsyncLimiter(capacity, capacity * 60 / per_minute), amount))
    return limits


async def _local(images: Sequence[AnyImage]) -> "list[np.ndarray]":
    """Copy images to this process, without blocking the event loop."""
    if any(isinstance(image, RemoteImage) for image in images):
        return await in_thread(lambda: [array_of(image) for image in images])
    return [array_of(image) for image in images]


async def _outside_deadline(waiting: Awaitable[None], clock: asyncio.Timeout) -> None:
    """Wait while the deadline's clock stands still."""
    loop, due = asyncio.get_running_loop(), clock.when()
    left = None if due is None else due - loop.time()
    clock.reschedule(None)
    await waiting
    clock.reschedule(None if left is None else loop.time() + left)
