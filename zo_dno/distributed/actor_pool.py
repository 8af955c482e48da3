"""A number of Ray actors of one kind: who is free, and who takes the place of one that died or hangs."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.oracle.event_loop import EventLoopThread

log = logging.getLogger(__name__)
T = TypeVar("T")
PATIENCE = 25.0  # seconds without any actor before whoever waits for one is told so
_GRACE = 5.0  # seconds in which another actor should have started, or it waits for resources
_SHORT = 0.5  # seconds of a call below which the next one waits at the actor, so that it has no pause between two
_DEATHS = 4  # in a row, of whoever takes one place, before it is the work that is to blame


class ActorError(Exception):
    """A call came to nothing because of the actor that it went to.

    Attributes:
        kind: "worker died", "no workers" or "kills workers".
        hopeless: no other actor will do any better.
    """

    def __init__(self, kind: str, message: str, *, hopeless: bool = False) -> None:
        super().__init__(message)
        self.kind, self.hopeless = kind, hopeless


@dataclass(slots=True, eq=False)
class Place:
    """What one actor fills.

    Attributes:
        epoch: counts the actors that filled it.
        ready: the one that does can be asked.
        deaths: of those that filled it, since any actor of the crew last answered.
        late: calls in a row that were given up.
        next: the call that waits there for its turn.
    """

    actor: Any = None
    epoch: int = 0
    ready: bool = False
    deaths: int = 0
    late: int = 0
    next: "Call | None" = None


@dataclass(slots=True, eq=False)
class Call:
    """A piece of work that an actor has, or that waits there for its turn; only then does its time begin."""

    place: Place
    epoch: int
    actor: Any
    timeout: float | None
    started: bool
    since: float = field(default_factory=time.monotonic)
    clock: asyncio.Timeout | None = None

    def start(self) -> None:
        """Begin to count."""
        self.started, self.since = True, time.monotonic()
        if self.timeout is not None and self.clock is not None:
            self.clock.reschedule(asyncio.get_running_loop().time() + self.timeout)


class _NeverBegunError(Exception):
    """The actor died before it began what waited there."""


class ActorPool:
    """Keeps `size` actors at work. Everything happens on an event loop of its own, whoever asks.

    Args:
        ray: the module, connected.
        hire: makes an actor, which has a method `ready`.
        size: number of actors.
        slots: calls that one actor takes at once.
        what: they are, for messages.
        at_once: how many may be starting; all at once, they would only keep each other waiting.
    Raises:
        InputError: none could be started.
    """

    def __init__(
        self, ray: Any, hire: Callable[[], Any], size: int, *, what: str, slots: int = 1, at_once: int = 64
    ) -> None:
        self._ray, self._hire, self._slots, self.what = ray, hire, slots, what
        self._starting = asyncio.Semaphore(at_once)
        self._places = [Place() for _ in range(size)]
        self._free: asyncio.Queue[tuple[Place, int] | None] = asyncio.Queue()
        self._second: deque[tuple[Place, int]] = deque()  # places where one more call can wait
        self._mean = math.inf  # seconds of a call, lately
        self._hopeless: ActorError | None = None
        self._answers = 0
        self._answers_at_death = -1
        self._killers: set[Hashable] = set()  # what was asked of those that died since the last answer
        self._waiting_for: set[asyncio.Task[None]] = set()
        self._usage, self._gauges = Usage(), Gauges(self)
        self._loop: EventLoopThread[None] = EventLoopThread()
        self.in_flight = 0
        try:
            self.run(self._start_all()).result()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many actors there should be."""
        return len(self._places)

    @property
    def alive(self) -> int:
        """How many actors can be asked."""
        return sum(place.ready for place in self._places)

    @property
    def queued(self) -> int:
        """How many calls wait at an actor for their turn."""
        return sum(place.next is not None for place in self._places)

    @property
    def busy_seconds(self) -> float:
        """What all calls took so far, together."""
        return self._usage.seconds()

    @property
    def utilisation(self) -> float:
        """Part of the time since the start in which the places for calls were taken, from 0 to 1."""
        return self.busy_seconds / max(1e-9, self._usage.elapsed * self.size * self._slots)

    def run(self, coroutine: Any) -> Future[Any]:
        """Run a coroutine on the crew's loop."""
        return self._loop.submit(coroutine)

    async def use(self, work: Callable[[Any], Awaitable[T]], *, of: Hashable = None, timeout: float | None = None) -> T:
        """Let the next actor that is free do some work. To be awaited on the crew's loop.

        Args:
            work: calls the actor.
            of: names the work, whoever does it.
            timeout: seconds for it, from when the actor has it; after that the actor is taken to hang.
        Raises:
            CrewError: it died, or there is none.
            TimeoutError: it took too long.
            Exception: what the work itself raised.
        """
        while True:
            place, queued = await self._next()
            call = Call(place, place.epoch, place.actor, timeout, started=not queued)
            try:
                return await self._carry_out(call, work, of)
            except _NeverBegunError:
                continue

    async def _carry_out(self, call: "Call", work: Callable[[Any], Awaitable[T]], of: Hashable) -> T:
        place, exceptions = call.place, self._ray.exceptions
        self._begin(call)
        try:
            async with asyncio.timeout(call.timeout if call.started else None) as call.clock:
                result = await work(call.actor)
        except (exceptions.RayTaskError, exceptions.ObjectLostError) as error:
            self._answered(call)  # the actor is well: the work, or what it was given, is not
            raise (getattr(error, "cause", None) or error) from error
        except exceptions.RayError as error:
            if not call.started:
                raise _NeverBegunError from error  # what it waited behind brought the actor down
            raise self._died(place, call.epoch, of, error) from error
        except (TimeoutError, asyncio.CancelledError):
            place.late += call.started
            if place.late >= self._slots:  # nothing that it was asked came back
                self._replace(place, call.epoch)
            raise
        else:
            self._answered(call)
            return result
        finally:
            self._end(call)

    def close(self) -> None:
        """Stop the actors."""
        self._loop.close()
        for place in self._places:
            if place.actor is not None:
                self._ray.kill(place.actor)

    def _begin(self, call: "Call") -> None:
        self.in_flight += 1
        self._gauges.show()
        if call.started:
            self._usage.change(+1)
        else:
            call.place.next = call

    def _end(self, call: "Call") -> None:
        """Let the next call that the actor has begin to count, or somebody else have the place."""
        self.in_flight -= 1
        if call.started:
            self._usage.change(-1)
        place = call.place
        if not (place.ready and place.epoch == call.epoch):
            return
        if place.next is call:
            place.next = None
            self._second.append((place, call.epoch))
        elif place.next is not None:
            place.next.start()
            self._usage.change(+1)
            place.next = None
            self._second.append((place, call.epoch))
        else:
            self._free.put_nowait((place, call.epoch))

    async def _start_all(self) -> None:
        """Start one, and then the others; those that need long join in later."""
        self._fill(self._places[0])
        if not await self._have_started(1, PATIENCE):
            raise InputError(f"{self.what} could not be started within {PATIENCE:.0f} s. {self._resources()}")
        for place in self._places[1:]:
            self._fill(place)
        before = 0
        while not await self._have_started(self.size, _GRACE):
            if self.alive == before:
                log.warning("%d of %d %s have started. %s", self.alive, self.size, self.what, self._resources())
                return
            before = self.alive

    async def _have_started(self, n: int, seconds: float) -> bool:
        """Wait until n actors can be asked.

        Raises:
            InputError: none ever will be.
        """
        until = time.monotonic() + seconds
        while self.alive < n and time.monotonic() < until:
            if self._hopeless is not None:
                raise InputError(str(self._hopeless))
            await asyncio.sleep(0.01)
        return self.alive >= n

    async def _next(self) -> tuple[Place, bool]:
        """Wait for an actor that is free, or whose call will soon be over; the work then waits there for its turn."""
        while True:
            if self._hopeless is not None:
                raise self._hopeless
            if self._free.empty() and self._mean < _SHORT:
                while self._second:
                    place, epoch = self._second.popleft()
                    if place.ready and place.epoch == epoch:
                        return place, True
            try:
                token = self._free.get_nowait() if not self._free.empty() else await self._wait()
            except TimeoutError:
                if not self.alive:
                    message = f"none of {self.size} {self.what} is alive. {self._resources()}"
                    raise ActorError("no workers", message) from None
                continue
            if token is None:  # wake the others as well
                self._free.put_nowait(None)
            elif token[0].ready and token[0].epoch == token[1]:
                return token[0], False

    async def _wait(self) -> tuple[Place, int] | None:
        async with asyncio.timeout(PATIENCE):
            return await self._free.get()

    def _fill(self, place: Place) -> None:
        task = asyncio.get_running_loop().create_task(self._start(place))
        self._waiting_for.add(task)
        task.add_done_callback(self._waiting_for.discard)

    async def _start(self, place: Place) -> None:
        place.epoch, place.ready, place.late, place.next = place.epoch + 1, False, 0, None
        epoch = place.epoch
        try:
            async with self._starting:
                place.actor = self._hire()
                ready = asyncio.ensure_future(place.actor.ready.remote())
                await asyncio.wait([ready], timeout=_GRACE)  # one that waits for resources keeps nobody waiting
            await ready
        except Exception as error:  # whatever it is, nobody else would hear of it
            self._cannot_start(place, error)
            return
        if place.epoch == epoch:
            place.ready = True
            for _ in range(self._slots):
                self._free.put_nowait((place, epoch))
            if self._slots == 1:
                self._second.append((place, epoch))

    def _cannot_start(self, place: Place, error: Exception) -> None:
        place.deaths += 1
        exceptions = self._ray.exceptions
        for_good = isinstance(error, exceptions.RuntimeEnvSetupError) or "creation task" in str(error)
        if for_good or place.deaths >= _DEATHS or not isinstance(error, exceptions.RayError):
            why = f"{self.what} could not be started: {_reason(error)}"
            if "No module named" in why:
                why += " Install it on every machine, or let it travel with ray_env (docs/cluster.md)."
            self._give_up(ActorError("no workers", why, hopeless=True))
        else:
            self._fill(place)

    def _died(self, place: Place, epoch: int, of: Hashable, error: Exception) -> ActorError:
        """Replace an actor, unless whatever it is asked kills whoever is asked."""
        if self._answers != self._answers_at_death:  # something was answered since the last one died
            for one in self._places:
                one.deaths = 0
            self._answers_at_death, self._killers = self._answers, set()
        self._killers.add(of)
        self._replace(place, epoch, died=True)
        if place.deaths >= _DEATHS and len(self._killers) > 1:
            message = f"{self.what} die of whatever they are asked, at last of {_reason(error)}"
            self._give_up(ActorError("kills workers", message, hopeless=True))
        return self._hopeless or ActorError("worker died", _reason(error))

    def _replace(self, place: Place, epoch: int, *, died: bool = False) -> None:
        """Fill a place anew, once, whoever notices first."""
        if place.epoch != epoch or not place.ready:
            return
        place.ready = False
        place.deaths += died
        self._ray.kill(place.actor)
        self._fill(place)

    def _give_up(self, reason: ActorError) -> None:
        self._hopeless = self._hopeless or reason
        self._free.put_nowait(None)

    def _answered(self, call: "Call") -> None:
        self._answers += 1
        call.place.late = 0
        if call.started:
            seconds = time.monotonic() - call.since
            self._mean = seconds if math.isinf(self._mean) else 0.9 * self._mean + 0.1 * seconds

    def _resources(self) -> str:
        free, total = self._ray.available_resources(), self._ray.cluster_resources()
        names = [name for name in total if name in ("CPU", "GPU") or not name.startswith(("node:", "object", "memory"))]
        have = ", ".join(f"{free.get(name, 0):g} of {total[name]:g} {name}" for name in sorted(names)) or "nothing"
        return f"Ray has {have} free. Ask for less, or wait for other work to end."


class Gauges:
    """A crew's figures as metrics of Ray, brought up to date at most twice a second."""

    def __init__(self, actors: ActorPool) -> None:
        from ray.util.metrics import Gauge

        self._actors, self._due = actors, 0.0
        described = {
            "alive": "actors that can be asked",
            "in_flight": "calls under way",
            "utilisation": "part of the time in which places for calls were taken",
        }
        self._gauges = {name: Gauge(f"zo_dno_{name}", what, tag_keys=("pool",)) for name, what in described.items()}

    def show(self) -> None:
        """Bring them up to date, if they are due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 0.5
        for name, gauge in self._gauges.items():
            gauge.set(getattr(self._actors, name), {"pool": self._actors.what})


class Usage:
    """How long how many calls were under way, all together."""

    def __init__(self) -> None:
        self._started = self._since = time.monotonic()
        self._count, self._seconds = 0, 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def change(self, by: int) -> None:
        """Note that a call began, +1, or ended, -1."""
        self._seconds, self._since = self.seconds(), time.monotonic()
        self._count += by

    def seconds(self) -> float:
        """Sum of what all calls took so far."""
        return self._seconds + self._count * (time.monotonic() - self._since)


def _reason(error: Exception) -> str:
    """Say what an actor died of: the last line of Ray's own account, where the cause stands."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    told = lines[-1] if "Traceback" in str(error) or "creation task" in str(error) else " ".join(lines[:2])
    return one_line(f"{type(error).__name__}: {told}")
