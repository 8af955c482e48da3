"""A pool of Ray actors of one kind, which replaces actors that die or hang."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from zo_dno.distributed.slots import ActorCall, ActorError, NeverBegunError, Slot, reason_of
from zo_dno.distributed.usage import Gauges, Usage
from zo_dno.errors import InputError
from zo_dno.oracle.event_loop import EventLoopThread

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 25.0  # seconds without any actor before a call fails, and before a slow start is warned of
_START = 5  # times as long the first actor may take, since a busy machine loads libraries slowly
_GRACE = 5.0  # seconds in which another actor should have started, or it waits for resources
_SHORT = 0.5  # seconds of a mean call below which the next call waits at the actor, which then has no pause
_DEATHS = 4  # deaths in a row in one slot before the work is to blame


class ActorPool:
    """Keeps `size` actors running, and hands calls to those that are free, on an event loop of its own.

    The slots count epochs instead of leaving restarts to Ray's `max_restarts`: Ray does not say which incarnation of a
    restarted actor a call failed in, so neither a query that kills every actor could be found nor a hanging actor be
    replaced exactly once.

    Args:
        ray: The module, connected.
        make_actor: Creates an actor, which has a method `ready`.
        size: Number of actors.
        what: Name of the actors in messages.
        concurrency: Number of calls that one actor takes at once.
        max_starting: Largest number of actors that start at the same time.
    Raises:
        InputError: No actor could be started.
    """

    def __init__(
        self,
        ray: Any,
        make_actor: Callable[[], Any],
        size: int,
        *,
        what: str,
        concurrency: int = 1,
        max_starting: int = 64,
    ) -> None:
        self._ray, self._make_actor, self._concurrency, self.what = ray, make_actor, concurrency, what
        self._starting = asyncio.Semaphore(max_starting)
        self._slots = [Slot() for _ in range(size)]
        self._free: asyncio.Queue[tuple[Slot, int] | None] = asyncio.Queue()
        self._queueable: deque[tuple[Slot, int]] = deque()  # slots at which one more call can wait
        self._mean = math.inf  # seconds of a call, lately
        self._hopeless: ActorError | None = None
        self._completed = 0
        self._completed_at_death = -1
        self._killers: set[Hashable] = set()  # work that actors died of since a call was last completed
        self._start_tasks: set[asyncio.Task[None]] = set()
        self._usage, self._gauges = Usage(), Gauges(self)
        self._loop: EventLoopThread[None] = EventLoopThread()
        self._in_flight = 0
        try:
            self.run(self._start_all()).result()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Number of actors that the pool keeps."""
        return len(self._slots)

    @property
    def alive(self) -> int:
        """Number of actors that take calls."""
        return sum(slot.ready for slot in self._slots)

    @property
    def in_flight(self) -> int:
        """Number of calls in flight, those that wait at an actor included."""
        return self._in_flight

    @property
    def queued(self) -> int:
        """Number of calls that wait at an actor for their turn."""
        return sum(slot.next is not None for slot in self._slots)

    @property
    def busy_seconds(self) -> float:
        """Seconds that calls took so far, summed over all calls."""
        return self._usage.seconds()

    @property
    def utilisation(self) -> float:
        """Share of the actors' time since the start that calls took, from 0 to 1."""
        return self.busy_seconds / max(1e-9, self._usage.elapsed * self.size * self._concurrency)

    def run(self, coroutine: Any) -> Future[Any]:
        """Run a coroutine on the pool's event loop."""
        return self._loop.submit(coroutine)

    async def use(
        self, work: Callable[[Any], Awaitable[T]], *, key: Hashable = None, timeout: float | None = None
    ) -> T:
        """Let the next free actor do some work. To be awaited on the pool's event loop.

        Args:
            work: Function that calls the actor.
            key: Name of the work, the same at every attempt.
            timeout: Seconds from the call's turn at the actor; an actor that takes longer counts as hanging.
        Raises:
            ActorError: The actor died, or there is none.
            TimeoutError: The actor took too long.
            Exception: The work itself raised it.
        """
        while True:
            slot, queued = await self._next()
            call = ActorCall(slot, slot.epoch, slot.actor, timeout, started=not queued)
            try:
                return await self._carry_out(call, work, key)
            except NeverBegunError:
                continue

    def close(self) -> None:
        """Stop the actors."""
        self._loop.close()
        for slot in self._slots:
            if slot.actor is not None:
                self._ray.kill(slot.actor)

    async def _carry_out(self, call: ActorCall, work: Callable[[Any], Awaitable[T]], key: Hashable) -> T:
        slot, exceptions = call.slot, self._ray.exceptions
        self._begin(call)
        try:
            async with asyncio.timeout(call.timeout if call.started else None) as call.clock:
                result = await work(call.actor)
        except (exceptions.RayTaskError, exceptions.ObjectLostError) as error:
            self._note_completed(call)  # the work failed, or its input was lost; the actor is well
            raise (getattr(error, "cause", None) or error) from error
        except exceptions.RayError as error:
            if not call.started:
                raise NeverBegunError from error  # the call before it killed the actor
            raise self._died(slot, call.epoch, key, error) from error
        except (TimeoutError, asyncio.CancelledError):
            slot.late += call.started
            if slot.late >= self._concurrency:  # none of the actor's calls came back
                self._replace(slot, call.epoch)
            raise
        else:
            self._note_completed(call)
            return result
        finally:
            self._end(call)

    def _begin(self, call: ActorCall) -> None:
        self._in_flight += 1
        self._gauges.show()
        if call.started:
            self._usage.change(+1)
        else:
            call.slot.next = call

    def _end(self, call: ActorCall) -> None:
        """Start the call that waits at the actor, or mark the actor as free."""
        self._in_flight -= 1
        if call.started:
            self._usage.change(-1)
        slot = call.slot
        if not (slot.ready and slot.epoch == call.epoch):
            return
        if slot.next is call:
            slot.next = None
            self._queueable.append((slot, call.epoch))
        elif slot.next is not None:
            slot.next.start()
            self._usage.change(+1)
            slot.next = None
            self._queueable.append((slot, call.epoch))
        else:
            self._free.put_nowait((slot, call.epoch))

    async def _start_all(self) -> None:
        """Start one actor, and then the others; slow ones join later."""
        self._fill(self._slots[0])
        if not await self._have_started(1, PATIENCE):
            log.warning("none of %d %s has started after %.0f s. %s", self.size, self.what, PATIENCE, self._resources())
            if not await self._have_started(1, (_START - 1) * PATIENCE):
                waited = _START * PATIENCE
                raise InputError(f"{self.what} could not be started within {waited:.0f} s. {self._resources()}")
        for slot in self._slots[1:]:
            self._fill(slot)
        before = 0
        while not await self._have_started(self.size, _GRACE):
            if self.alive == before:
                log.warning("%d of %d %s have started. %s", self.alive, self.size, self.what, self._resources())
                return
            before = self.alive

    async def _have_started(self, n: int, seconds: float) -> bool:
        """Wait until n actors take calls.

        Raises:
            InputError: No actor can be started.
        """
        until = time.monotonic() + seconds
        while self.alive < n and time.monotonic() < until:
            if self._hopeless is not None:
                raise InputError(str(self._hopeless))
            await asyncio.sleep(0.01)
        return self.alive >= n

    async def _next(self) -> tuple[Slot, bool]:
        """Wait for a free actor, or take one with a short call at which the next can wait.

        Returns:
            The slot, and whether the call has to wait there for its turn.
        """
        while True:
            if self._hopeless is not None:
                raise self._hopeless
            if self._free.empty() and self._mean < _SHORT:
                while self._queueable:
                    slot, epoch = self._queueable.popleft()
                    if slot.ready and slot.epoch == epoch:
                        return slot, True
            try:
                token = self._free.get_nowait() if not self._free.empty() else await self._wait()
            except TimeoutError:
                if not self.alive:
                    message = f"none of {self.size} {self.what} is alive. {self._resources()}"
                    raise ActorError("no workers", message) from None
                continue
            if token is None:  # wake the other waiting calls as well
                self._free.put_nowait(None)
            elif token[0].ready and token[0].epoch == token[1]:
                return token[0], False

    async def _wait(self) -> tuple[Slot, int] | None:
        async with asyncio.timeout(PATIENCE):
            return await self._free.get()

    def _fill(self, slot: Slot) -> None:
        task = asyncio.get_running_loop().create_task(self._start(slot))
        self._start_tasks.add(task)
        task.add_done_callback(self._start_tasks.discard)

    async def _start(self, slot: Slot) -> None:
        slot.epoch, slot.ready, slot.late, slot.next = slot.epoch + 1, False, 0, None
        epoch = slot.epoch
        try:
            async with self._starting:
                slot.actor = self._make_actor()
                ready = asyncio.ensure_future(slot.actor.ready.remote())
                await asyncio.wait([ready], timeout=_GRACE)  # an actor without resources does not block the others
            await ready
        except Exception as error:  # any exception: the task has no caller who would see it
            self._cannot_start(slot, error)
            return
        if slot.epoch == epoch:
            slot.ready = True
            for _ in range(self._concurrency):
                self._free.put_nowait((slot, epoch))
            if self._concurrency == 1:
                self._queueable.append((slot, epoch))

    def _cannot_start(self, slot: Slot, error: Exception) -> None:
        slot.deaths += 1
        exceptions = self._ray.exceptions
        for_good = isinstance(error, exceptions.RuntimeEnvSetupError) or "creation task" in str(error)
        if for_good or slot.deaths >= _DEATHS or not isinstance(error, exceptions.RayError):
            why = f"{self.what} could not be started: {reason_of(error)}"
            if "No module named" in why:
                why += " Install it on every machine, or let it travel with ray_env (docs/cluster.md)."
            self._give_up(ActorError("no workers", why, hopeless=True))
        else:
            self._fill(slot)

    def _died(self, slot: Slot, epoch: int, key: Hashable, error: Exception) -> ActorError:
        """Replace a dead actor, or give up if different work has killed several actors in a row."""
        if self._completed != self._completed_at_death:  # a call was completed since the last death
            for one in self._slots:
                one.deaths = 0
            self._completed_at_death, self._killers = self._completed, set()
        self._killers.add(key)
        self._replace(slot, epoch, died=True)
        if slot.deaths >= _DEATHS and len(self._killers) > 1:
            message = f"{self.what} die at every query; the last died of {reason_of(error)}"
            self._give_up(ActorError("kills workers", message, hopeless=True))
        return self._hopeless or ActorError("worker died", reason_of(error))

    def _replace(self, slot: Slot, epoch: int, *, died: bool = False) -> None:
        """Fill a slot anew, once, even where several calls notice that its actor is gone."""
        if slot.epoch != epoch or not slot.ready:
            return
        slot.ready = False
        slot.deaths += died
        self._ray.kill(slot.actor)
        self._fill(slot)

    def _give_up(self, reason: ActorError) -> None:
        self._hopeless = self._hopeless or reason
        self._free.put_nowait(None)

    def _note_completed(self, call: ActorCall) -> None:
        self._completed += 1
        call.slot.late = 0
        if call.started:
            seconds = time.monotonic() - call.since
            self._mean = seconds if math.isinf(self._mean) else 0.9 * self._mean + 0.1 * seconds

    def _resources(self) -> str:
        free, total = self._ray.available_resources(), self._ray.cluster_resources()
        names = [name for name in total if name in ("CPU", "GPU") or not name.startswith(("node:", "object", "memory"))]
        have = ", ".join(f"{free.get(name, 0):g} of {total[name]:g} {name}" for name in sorted(names)) or "nothing"
        return f"Ray has {have} free. Ask for less, or wait for other work to end."
