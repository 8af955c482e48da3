"""Signals that arrive while the process itself makes a paid call: nothing that is paid for is lost or forgotten."""

import os
import signal
from contextlib import suppress

import pytest

from tests.support.command_line import handlers_kept
from tests.support.resuming import content, resume, run, settled
from zo_dno.errors import RunError
from zo_dno.storage.ledger import Ledger

POLICY = {"price": 0.01, "attempts": 1, "in_flight": 1}


@pytest.fixture(autouse=True)
def handlers():
    with handlers_kept():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield


def pressing(at, times):
    """The reward `settled`, which receives signals at one of its calls."""
    calls = []

    def reward(images, prompts):
        calls.append(1)
        for _ in range(times if len(calls) == at else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return settled(images, prompts)

    reward.__name__ = reward.__qualname__ = "settled"
    vars(reward).update(version="1", calls=calls)
    return reward


def test_the_first_signal_waits_for_the_call(tmp_path):
    run(tmp_path / "whole", settled, policy=POLICY)
    presses = pressing(10, 1)
    result = run(tmp_path / "parts", presses, policy=POLICY)
    assert (result.status, result.queries, len(presses.calls)) == ("interrupted", 10, 10)
    assert result.cost == pytest.approx(0.10)
    rest = pressing(0, 0)
    assert resume(tmp_path / "parts", rest).cost == pytest.approx(0.48)
    assert len(rest.calls) == 38
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_calls_in_flight_at_second_signals_count_each_time(tmp_path):
    run(tmp_path / "whole", settled, policy=POLICY)
    calls = 0
    for session in range(4):
        presses = pressing(10 if session == 0 else 1, 2)
        with suppress(RunError, KeyboardInterrupt):
            (resume if session else run)(tmp_path / "run", presses, **({} if session else {"policy": POLICY}))
        calls += len(presses.calls)
    assert calls == 13
    rest = pressing(0, 0)
    result = resume(tmp_path / "run", rest)
    assert result.cost == pytest.approx(0.01 * (calls + len(rest.calls)))
    lost = Ledger(tmp_path / "run" / "ledger.db", read_only=True).get("lost_calls")
    assert lost["calls"] == 4
    assert content(tmp_path / "run")[2:] == content(tmp_path / "whole")[2:]
