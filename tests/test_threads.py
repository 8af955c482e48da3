"""Ctrl-C at the moment in which a thread has started, before its starter knows that."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.clocks import PATIENCE
from tests.support.toys import ToyGenerator
from zo_dno.generators.renderer import LocalRenderer
from zo_dno.oracle.event_loop import EventLoopThread
from zo_dno.storage.artifacts import Artifacts
from zo_dno.threads import ThreadPool
from zo_dno.web.server import WebServer


@pytest.fixture
def interrupted(monkeypatch):
    """Send SIGINT as soon as the first thread that works has started; returns the threads that have."""
    start, started = threading.Thread.start, []

    def starting(thread):
        start(thread)
        if thread.name.startswith("zo-dno"):
            started.append(thread)
        if [one for one in started if not one.name.endswith(": start")] == [thread]:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", starting)
    return started


def ended(threads):
    due = time.monotonic() + PATIENCE
    while any(thread.is_alive() for thread in threads) and time.monotonic() < due:
        time.sleep(0.01)
    return not any(thread.is_alive() for thread in threads)


async def app(scope, receive, send): ...


@pytest.mark.parametrize(
    "make",
    [
        lambda: ThreadPool(3, "zo-dno test").submit(int).result(),
        lambda: LocalRenderer(ToyGenerator(), in_background=True),
        lambda: Artifacts(Path("unused")),
        EventLoopThread,
        lambda: WebServer(app).start(),
    ],
    ids=["pool", "renderer", "files of images", "event loop", "web server"],
)
def test_no_thread_is_left(interrupted, make):
    with pytest.raises(KeyboardInterrupt):
        make()
    assert interrupted
    assert ended(interrupted)


def test_all_threads_of_a_pool_are_known_and_waited_for():
    pool, release, over = ThreadPool(2, "zo-dno test"), threading.Event(), []
    for _ in range(2):
        pool.submit(lambda: (release.wait(PATIENCE), over.append(1)))
    assert len(pool._threads) == 2
    release.set()
    pool.shutdown()
    assert over == [1, 1]
