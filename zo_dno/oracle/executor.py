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

from zo_dno.call_policy import Asking
from zo_dno.failures import CallError, Failure, failure_of, too_late
from zo_dno.oracle.call import Outcome, call, call_async
from zo_dno.oracle.event_loop import Background, in_thread
from zo_dno.rng import stream_seed
from zo_dno.types import AnyImage, Score, array_of

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


class Elsewhere(Protocol):
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
class Job:
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


class Caller:
    """Carries out jobs on a reward's terms. Plain terms are carried out at once, in this thread.

    Args:
        reward: to call.
        asking: the terms.
        elsewhere: processes to call it in.
        seed: of the random part of the waits between calls.
    """

    def __init__(self, reward: "Reward", asking: Asking, elsewhere: Elsewhere | None = None, seed: int = 0) -> None:
        self._reward, self._asking, self._elsewhere = reward, asking, elsewhere
        self._jitter = random.Random(stream_seed(seed, "jitter"))
        plain = asking.plain and not reward.is_async and elsewhere is None
        self._background: Background[Job | None] | None = None if plain else Background()
        self._limits = [] if plain else _limits(asking)
        self._finished: list[Job | None] = []
        self._interrupted = False

    @property
    def spare(self) -> int:
        """Calls beside those under way that are taken, as long as many more wait."""
        return self._elsewhere.spare if self._elsewhere is not None else 0

    @property
    def queued(self) -> int:
        """How many of these there are now."""
        return self._elsewhere.queued if self._elsewhere is not None else 0

    @property
    def waits(self) -> bool:
        """Calls are waited for while this thread does other things."""
        return self._background is not None

    def start(self, job: Job) -> None:
        """Begin a job."""
        if self._background is not None:
            self._background.start(self._carry_out(job))
            return
        try:
            for attempt in self._attempts():
                with attempt:
                    job.attempts += 1
                    _note(job, self._call_here(job))
        except CallError:
            pass
        self._finished.append(job)

    def wake(self) -> None:
        """Let `finished` return although no job is done; called from any thread."""
        if self._background is not None:
            self._background.post(None)
        else:
            self._finished.append(None)

    def interrupt(self) -> None:
        """Let `finished` raise KeyboardInterrupt, as Ctrl-C does in the main thread; called from any thread."""
        self._interrupted = True
        if self._background is not None:
            self._background.post(KeyboardInterrupt())

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

    def finished(self) -> list[Job]:
        """Wait until a job is done, or somebody calls `wake`, and return all the jobs that are done."""
        if self._background is not None:
            done = self._background.finished()
        else:
            interrupted, self._interrupted = self._interrupted, False
            if interrupted:
                raise KeyboardInterrupt
            done, self._finished = self._finished, []
        return [job for job in done if job is not None]

    def close(self) -> None:
        """Give up what is under way, and let go of what calling needed."""
        if self._background is not None:
            if self._reward.is_async and self._elsewhere is None:
                self._background.run(self._reward.aclose())
            self._background.close()

    async def _carry_out(self, job: Job) -> Job:
        try:
            async with asyncio.timeout(self._asking.deadline) as clock:
                async for attempt in self._attempts():
                    with attempt:
                        for limiter, amount in self._limits:
                            await _off_the_clock(limiter.acquire(amount), clock)
                        job.attempts += 1
                        _note(job, await self._one_call(job))
        except CallError:
            pass
        except TimeoutError:
            message = f"no answer within the deadline of {self._asking.deadline:g} s"
            job.failures.append(Failure("timeout", message, transient=True, billed=True))
        return job

    def _call_here(self, job: Job) -> Outcome:
        if job.known is not None and job.attempts == 1:
            return job.known
        return call(self._reward, [array_of(image) for image in job.images], job.prompts, job.keys)

    async def _one_call(self, job: Job) -> Outcome:
        if self._elsewhere is not None:
            return await self._elsewhere.call(job.images, job.prompts, job.keys, self._asking.timeout)
        try:
            async with asyncio.timeout(self._asking.timeout):
                if self._reward.is_async:
                    return await call_async(self._reward, await _here(job.images), job.prompts, job.keys)
                return await in_thread(call, self._reward, await _here(job.images), job.prompts, job.keys)
        except TimeoutError:
            return too_late(self._asking.timeout)
        except Exception as error:  # a reward that ends its thread
            return failure_of(error)

    def _attempts(self) -> Any:
        """Iterate over a query's calls, waiting between them; works in `for` and in `async for`."""
        asking, started, waits = self._asking, time.monotonic(), iter(range(10**9))

        def wait(error: Exception) -> bool | float:
            failure = error.failure if isinstance(error, CallError) else None
            if failure is None or not failure.transient:
                return False
            seconds = min(asking.longest_wait, asking.first_wait * 2 ** next(waits))
            seconds *= 1 - self._jitter.random() / 2  # half of it is random, so that many do not come back at once
            if failure.retry_after is not None:
                seconds = failure.retry_after + seconds * self._jitter.random()
            late = asking.deadline is not None and time.monotonic() - started + seconds > asking.deadline
            return False if late else seconds

        return stamina.retry_context(on=wait, attempts=asking.attempts, timeout=None, wait_jitter=0)


def _note(job: Job, outcome: Outcome) -> None:
    if isinstance(outcome, Failure):
        job.failures.append(outcome)
        raise CallError(outcome)
    job.scores = outcome


def _limits(asking: Asking) -> list[tuple[AsyncLimiter, float]]:
    """Make leaky buckets of at most a second's worth (or one call's), since providers count in windows of their own."""
    limits: list[tuple[AsyncLimiter, float]] = []
    for per_minute, amount in ((asking.requests_per_minute, 1), (asking.tokens_per_minute, asking.max_tokens)):
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
