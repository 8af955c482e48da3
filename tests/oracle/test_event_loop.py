"""The event loop keeps every coroutine, even where a reward cancels the tasks of others."""

import asyncio
import threading
from types import SimpleNamespace

from tests.support.clocks import PATIENCE
from zo_dno.oracle.event_loop import EventLoopThread


def test_a_coroutine_cancelled_before_it_began_is_begun():
    loop: EventLoopThread[str] = EventLoopThread()
    first_runs, second_is_queued = threading.Event(), threading.Event()
    begun = []

    async def cancels_all():
        first_runs.set()
        second_is_queued.wait()
        await asyncio.sleep(0)  # the task of the second is made here; its first step comes after this one
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        return "first"

    async def second():
        begun.append(1)
        return "second"

    loop.start(cancels_all())
    first_runs.wait()
    loop.start(second())
    second_is_queued.set()
    found: list[str] = []

    def collect():
        while len(found) < 2:
            found.extend(loop.finished())

    waiting = threading.Thread(target=collect, daemon=True)
    waiting.start()
    waiting.join(PATIENCE)
    loop.close()
    assert found == ["first", "second"]
    assert begun == [1]


def test_a_signal_that_comes_right_before_the_wait_is_seen_within_a_second(monkeypatch):
    """It interrupts no wait that begins after it, so that each must be short."""
    loop: EventLoopThread[str] = EventLoopThread()
    waits, get = [], loop._done.get

    def noted(timeout):
        waits.append(timeout)
        if len(waits) == 3:
            loop.post("late")
        return get(timeout=min(timeout, 0.01))

    monkeypatch.setattr(loop, "_done", SimpleNamespace(get=noted, put=loop._done.put, empty=loop._done.empty))
    assert loop.finished() == ["late"]
    loop.close()
    assert len(waits) == 3
    assert max(waits) <= 1
