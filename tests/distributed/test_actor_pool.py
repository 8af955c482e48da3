"""Actor pools with a stand-in for Ray: who gets a call, and what replaces an actor."""

import asyncio
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from tests.support.fake_ray import FakeRay, ObjectLostError, RayError, RayTaskError, RuntimeEnvSetupError
from zo_dno.distributed import actor_pool
from zo_dno.distributed.actor_pool import ActorPool
from zo_dno.distributed.slots import ActorError
from zo_dno.errors import InputError


class Actor:
    """An actor whose start succeeds, unless it is given an error."""

    def __init__(self, number, error=None):
        self.number = number
        self.ready = SimpleNamespace(remote=self._ready)
        self._error = error

    async def _ready(self):
        if self._error is not None:
            raise self._error


@pytest.fixture
def ray():
    return FakeRay()


@pytest.fixture
def start(ray):
    pools = []

    def start_pool(size, errors=(), **options):
        made = []

        def make_actor():
            made.append(Actor(len(made), errors[len(made)] if len(made) < len(errors) else None))
            return made[-1]

        pools.append(ActorPool(ray, make_actor, size, what="workers", **options))
        return pools[-1], made

    yield start_pool
    for pool in pools:
        pool.close()


def fails_with(error):
    async def work(actor):
        raise error

    return work


async def number(actor):
    return actor.number


def use(pool, work, **options):
    return pool.run(pool.use(work, **options))


def test_calls_go_to_free_actors(start):
    pool, _ = start(2)
    both = asyncio.Barrier(2)

    async def together(actor):
        await both.wait()
        return actor.number

    found = [use(pool, together) for _ in range(2)]
    assert {one.result() for one in found} == {0, 1}
    assert (pool.size, pool.alive, pool.in_flight, pool.queued) == (2, 2, 0, 0)


def test_a_dead_actor_is_replaced_once_for_all_its_calls(start, ray):
    pool, made = start(1, concurrency=2)
    both = asyncio.Barrier(2)

    async def dies(actor):
        await both.wait()
        raise RayError("gone")

    for one in [use(pool, dies, key="image") for _ in range(2)]:
        with pytest.raises(ActorError, match="RayError: gone") as error:
            one.result()
        assert (error.value.kind, error.value.hopeless) == ("worker died", False)
    assert use(pool, number).result() == 1
    assert ray.killed == made[:1]


def test_an_exception_of_the_work_leaves_the_actor_in_place(start, ray):
    pool, _ = start(1)
    with pytest.raises(ValueError, match="too dark"):
        use(pool, fails_with(RayTaskError(ValueError("too dark")))).result()
    with pytest.raises(ObjectLostError):
        use(pool, fails_with(ObjectLostError("image"))).result()
    assert use(pool, number).result() == 0
    assert ray.killed == []


def test_an_actor_that_hangs_is_replaced(start, ray):
    pool, made = start(1)

    async def hangs(actor):
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        use(pool, hangs, timeout=0.01).result()
    assert use(pool, number).result() == 1
    assert ray.killed == made[:1]


def test_one_late_call_of_several_does_not_replace_the_actor(start, ray):
    pool, _ = start(1, concurrency=2)

    async def hangs(actor):
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        use(pool, hangs, timeout=0.01).result()
    assert use(pool, number).result() == 0
    assert ray.killed == []


def two_calls(pool, first, second):
    """Start a call, and another one that waits at the same actor for its turn."""
    use(pool, number).result()  # a short call: only after such a call do others wait at the actor
    began = Future()

    async def begun(actor):
        began.set_result(None)
        return await first(actor)

    calls = [use(pool, begun)]
    began.result()
    calls.append(use(pool, second))
    while not pool.queued:
        time.sleep(0.001)
    return calls


def test_a_call_waits_at_a_busy_actor_with_short_calls(start):
    pool, _ = start(1)
    release = Future()

    async def until_released(actor):
        await asyncio.wrap_future(release)
        return actor.number

    first, second = two_calls(pool, until_released, until_released)
    assert (pool.in_flight, pool.queued) == (2, 1)
    release.set_result(None)
    assert (first.result(), second.result()) == (0, 0)
    assert pool.queued == 0


def test_a_call_that_waits_at_an_actor_that_dies_moves_to_the_next(start):
    pool, _ = start(1)
    death = Future()

    async def dies_with_the_first_actor(actor):
        if actor.number == 0:
            await asyncio.wrap_future(death)
        return actor.number

    first, second = two_calls(pool, dies_with_the_first_actor, dies_with_the_first_actor)
    death.set_exception(RayError("gone"))
    with pytest.raises(ActorError, match="gone"):
        first.result()
    assert second.result() == 1


def test_one_deadly_image_does_not_end_the_pool(start):
    pool, made = start(1)
    for _ in range(6):
        with pytest.raises(ActorError) as error:
            use(pool, fails_with(RayError("gone")), key="the same image").result()
        assert not error.value.hopeless
    assert use(pool, number).result() == len(made) - 1 == 6


def test_actors_that_die_at_every_query_end_the_pool(start):
    pool, _ = start(1)
    errors = []
    for image in range(4):
        with pytest.raises(ActorError) as error:
            use(pool, fails_with(RayError("gone")), key=image).result()
        errors.append(error.value)
    assert (errors[-1].kind, errors[-1].hopeless) == ("kills workers", True)
    assert str(errors[-1]) == "workers die at every query; the last died of RayError: gone"
    with pytest.raises(ActorError, match="at every query"):
        use(pool, number).result()


def test_a_completed_call_forgives_the_deaths_before_it(start):
    pool, _ = start(1)
    for image in range(6):
        with pytest.raises(ActorError) as error:
            use(pool, fails_with(RayError("gone")), key=image).result()
        assert not error.value.hopeless
        use(pool, number).result()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeEnvSetupError("no such package"), "workers could not be started: RuntimeEnvSetupError: no such"),
        (ValueError("odd"), "workers could not be started: ValueError: odd"),
        (
            RayError("creation task failed\nNo module named 'zo_dno'"),
            "No module named 'zo_dno' Install it on every machine, or let it travel with ray_env",
        ),
    ],
)
def test_a_start_that_cannot_succeed_is_not_repeated(start, error, message):
    with pytest.raises(InputError, match=message):
        start(1, [error])


def test_a_start_that_may_succeed_is_repeated(start):
    pool, made = start(1, [RayError("node lost")] * 3)
    assert (pool.alive, len(made)) == (1, 4)
    with pytest.raises(InputError, match="workers could not be started: RayError: node lost"):
        start(1, [RayError("node lost")] * 4)


def test_a_call_without_actors_fails_with_the_resources(start, monkeypatch):
    pool, _ = start(1)
    monkeypatch.setattr(actor_pool, "PATIENCE", 0.01)
    never = asyncio.Event()

    async def waits():
        await never.wait()

    pool._make_actor = lambda: SimpleNamespace(ready=SimpleNamespace(remote=waits))
    with pytest.raises(ActorError, match="gone"):
        use(pool, fails_with(RayError("gone"))).result()
    with pytest.raises(ActorError, match=r"none of 1 workers is alive\. Ray has 0 of 2 CPU free") as error:
        use(pool, number).result()
    assert error.value.kind == "no workers"
