"""How calls are made: how many at once, retries and waits, deadlines, rate limits, Ctrl-C."""

import asyncio
import logging
import os
import signal
import threading
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import stamina.instrumentation

from tests.support.clocks import PATIENCE, VirtualTimeLoop
from tests.support.oracles import Batched, Flaky, Hanging, Together, ask, queries, value
from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle


@pytest.fixture
def waits():
    """Seconds of every wait before a retry, as they were scheduled."""
    scheduled = []
    stamina.instrumentation.set_on_retry_hooks([lambda details: scheduled.append(details.wait_for)])
    yield scheduled
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.fixture
def virtual_time(monkeypatch):
    """Give executors an event loop whose clock jumps to the next timer."""
    monkeypatch.setattr("zo_dno.oracle.event_loop.asyncio.new_event_loop", VirtualTimeLoop)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("reward", [FunctionReward(value), Batched(value), "async"], ids=["one", "batch", "async"])
def test_every_score_is_on_its_own_image(reward, in_flight):
    responses = ask(Together(in_flight) if reward == "async" else reward, in_flight=in_flight)
    assert [response.score.value for response in responses] == [0, 1, 2, 3, 4, 5]
    assert [response.attempts for response in responses] == [1] * 6


@pytest.mark.parametrize("in_flight", [1, 3, 8])
def test_the_policy_limits_the_calls_in_flight(in_flight):
    reward = Together(in_flight)
    ask(reward, range(10), in_flight=in_flight)
    assert reward.most == in_flight


def test_functions_run_in_threads_if_several_calls_may_be_in_flight():
    all_in_flight = threading.Barrier(16)

    def blocks(images, prompts):
        all_in_flight.wait(PATIENCE)
        return value(images, prompts)

    assert [response.score.value for response in ask(blocks, range(16), in_flight=16)] == list(range(16))


def test_coroutine_functions_run_concurrently():
    together = Together(4)

    async def judge(images):
        return await together(images, ())

    class Judge:
        async def __call__(self, images, prompts):
            return value(images, prompts)

    assert [response.score.value for response in ask(judge, range(12), in_flight=4)] == list(range(12))
    assert (together.in_flight, together.most) == (0, 4)
    assert [response.score.value for response in ask(Judge())] == list(range(6))


@pytest.mark.parametrize("in_flight", [1, 3])
def test_transient_failures_are_retried(in_flight):
    responses = ask(Flaky({0: 2, 1: 4, 2: 5, 4: 9}), in_flight=in_flight, attempts=5)
    assert [response.score.missing for response in responses] == [False, False, True, False, True, False]
    assert [response.attempts for response in responses] == [3, 5, 5, 1, 5, 1]
    assert responses[1].failures == ("busy",) * 4
    assert responses[2].score.kind == "busy"


@pytest.mark.parametrize("in_flight", [1, 3])
def test_permanent_failures_are_not_retried(in_flight):
    responses = ask(Flaky({1: 1}, error=ValueError("bad key")), in_flight=in_flight)
    assert [response.attempts for response in responses] == [1] * 6
    assert responses[1].score.error == "ValueError: bad key"


def test_a_retry_prints_nothing_where_logging_is_not_configured(monkeypatch):
    printed = []
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging, "lastResort", SimpleNamespace(level=0, handle=printed.append))
    assert ask(Flaky({0: 1}))[0].attempts == 2
    assert not printed
    logging.getLogger("another").warning("this one is printed")
    assert len(printed) == 1


def test_waits_double_and_retry_after_is_respected(waits):
    flaky = Flaky({0: 3})
    ask(flaky, [0], first_wait=0.04, attempts=4)
    assert len(waits) == 3
    for wait, slept, longest in zip(waits, np.diff(flaky.times), (0.04, 0.08, 0.16), strict=True):
        assert longest / 2 <= wait <= longest
        assert slept >= wait
    waits.clear()
    flaky = Flaky({0: 1}, error=CallError(Failure("HTTP 429", "busy", True, False, retry_after=0.3)))
    ask(flaky, [0])
    assert 0.3 <= waits[0] <= 0.301
    assert np.diff(flaky.times)[0] >= 0.3


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_wait_beyond_the_deadline_is_not_started(waits, in_flight):
    flaky = Flaky({0: 1}, error=CallError(Failure("HTTP 429", "busy", True, False, retry_after=300)))
    (response,) = ask(flaky, [0], deadline=60, in_flight=in_flight)
    assert (response.score.kind, response.attempts, waits) == ("HTTP 429", 1, [])


def test_a_call_that_hangs_is_abandoned_and_retried(clock):
    with Hanging(calls=1, on_hang=lambda: clock.advance(PATIENCE)) as hangs_once:
        (response,) = ask(hangs_once, [3], timeout=PATIENCE)
    assert (response.score.value, response.attempts, response.failures) == (3, 2, ("timeout",))


@pytest.mark.parametrize("kind", ["thread", "async"])
def test_a_query_past_its_deadline_is_missing(kind):
    async def never(images, prompts):
        await asyncio.Event().wait()

    with Hanging() as hangs:
        (response,) = ask(hangs if kind == "thread" else never, [3], deadline=0.2)
    assert response.score.missing
    assert response.score.kind == "timeout"
    assert response.score.error == "no response within the deadline of 0.2 s"
    assert response.attempts == 1


async def _exits(images):
    raise SystemExit(1)


@pytest.mark.parametrize("reward", [lambda images: exit(), _exits], ids=["thread", "async"])
def test_a_reward_that_exits_is_a_failed_call(reward):
    (response,) = ask(reward, [0], in_flight=2)
    assert response.score.missing
    assert "SystemExit" in response.score.error


def test_requests_are_spread_over_the_minute(virtual_time):
    """240 a minute are 4 a second, in bursts of at most 4: 13 calls take 9 / 4 s."""
    times = []

    async def timed(images, prompts):
        times.append(asyncio.get_running_loop().time())
        return value(images, prompts)

    ask(timed, range(13), in_flight=13, requests_per_minute=240)
    assert all(later - earlier > 0.2 for earlier, later in pairwise(sorted(times)[3:]))
    assert max(times) == pytest.approx(2.25, abs=0.02)


def test_tokens_are_spread_over_the_minute(virtual_time):
    """60,000 a minute are 1,000 a second, one call's worth: three calls take 2 s."""
    times = []

    async def timed(images, prompts):
        times.append(asyncio.get_running_loop().time())
        return value(images, prompts)

    ask(timed, range(3), in_flight=5, tokens_per_minute=60_000, max_tokens=1000)
    assert max(times) == pytest.approx(2, abs=0.02)


def test_the_deadline_does_not_count_the_wait_for_a_rate_limit(virtual_time):
    async def reward(images, prompts):
        return value(images, prompts)

    responses = ask(reward, range(3), in_flight=3, requests_per_minute=120, deadline=0.3)
    assert not any(response.score.missing for response in responses)


def test_nor_does_it_when_a_further_call_is_due(virtual_time):
    failed = set()

    async def reward(images, prompts):
        (found,) = value(images, prompts)
        if found not in failed:
            failed.add(found)
            raise ConnectionResetError("try again")
        return [found]

    responses = ask(reward, range(3), in_flight=3, requests_per_minute=120, deadline=0.3, first_wait=0.01)
    assert [response.attempts for response in responses] == [2, 2, 2]
    assert not any(response.score.missing for response in responses)


def test_ctrl_c_waits_for_the_calls_in_flight(monkeypatch):
    all_in_flight, seen, scored = threading.Barrier(3), threading.Event(), []

    def blocks(images, prompts):
        if all_in_flight.wait(PATIENCE) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        seen.wait(PATIENCE)
        return value(images, prompts)

    oracle = Oracle(FunctionReward(blocks), CallPolicy(in_flight=3, breaker=0))
    interrupt = oracle._executor.interrupt
    monkeypatch.setattr(oracle._executor, "interrupt", lambda: (interrupt(), seen.set()))
    with pytest.raises(KeyboardInterrupt):
        oracle.ask(queries(range(9)), on_scored=scored.extend)
    oracle.close()
    assert sorted(query.id for query, _ in scored) == [0, 1, 2]
