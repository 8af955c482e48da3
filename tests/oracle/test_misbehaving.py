"""Rewards that misbehave: each costs its own queries, with a reason in one short line, and nothing ever hangs."""

import sys
import threading
from typing import Any

import numpy as np
import pytest

import zo_dno
from tests.support import fake_ray
from tests.support.misbehaving import (
    ASYNC,
    SYNC,
    endless,
    ignores_cancellation,
    interrupts_the_main_thread_of_its_mind,
    named,
    named_plain,
    never_returns,
)
from zo_dno.call_policy import CallPolicy
from zo_dno.distributed import actor_pool
from zo_dno.distributed.reward_actors import RewardActors
from zo_dno.oracle import event_loop
from zo_dno.oracle.oracle import Oracle
from zo_dno.storage.images import image_hash
from zo_dno.types import Query

HANGS = 300  # seconds after which a test gives up waiting, however busy the machine is
THREADS = {"in_flight": 2, "timeout": 30, "attempts": 1}
SHORT = {**THREADS, "timeout": 0.3}


def reward_of(function):
    """A reward of its own class, which plain functions become as well."""
    return zo_dno.make_reward(function)


def asked(reward, remote=None, prompt="p", number=4, **policy):
    """Ask about some images in a thread, which can be given up."""
    images = np.arange(number, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    queries = [Query(i, image, image_hash(image), prompt) for i, image in enumerate(images)]
    responses = []

    def ask():
        oracle = Oracle(reward, CallPolicy(**{"breaker": 0, **policy}), remote=remote)
        try:
            responses.extend(oracle.ask(queries))
        finally:
            oracle.close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HANGS)
    assert not thread.is_alive(), "it hangs"
    assert len(responses) == number
    return [response.score for response in responses]


def check(scores, expected):
    for score in scores:
        if isinstance(expected, float):
            assert score.value == expected
            continue
        assert score.missing
        assert expected is None or score.kind.startswith(expected)
        for text in (score.kind, score.error):
            assert len(text) < 2100
            assert text.isprintable()


@pytest.mark.parametrize("name", SYNC)
def test_in_this_thread(name):
    check(asked(reward_of(SYNC[name][0]), attempts=1), SYNC[name][1])


@pytest.mark.parametrize("name", SYNC)
def test_in_threads(name):
    check(asked(reward_of(SYNC[name][0]), **THREADS), SYNC[name][1])


@pytest.mark.parametrize("name", ASYNC)
def test_on_the_event_loop(name):
    check(asked(reward_of(ASYNC[name][0]), **THREADS), ASYNC[name][1])


@pytest.mark.parametrize("reward", [ignores_cancellation, never_returns, endless])
def test_what_does_not_return_is_given_up_at_its_timeout(reward, monkeypatch):
    monkeypatch.setattr(event_loop, "_ENDS", 0.2)
    check(asked(reward_of(reward), **SHORT), "timeout")


def test_ctrl_c_in_the_main_thread_is_no_failure(toy):
    """A plain reward is called there, where its own KeyboardInterrupt cannot be told from the user's."""
    with pytest.raises(zo_dno.ZoDnoError, match="The run ended before its first query was completed"):
        zo_dno.optimize(toy, interrupts_the_main_thread_of_its_mind, queries=8)


def test_a_run_ends_with_what_was_scored(toy):
    def picky(images, prompts):
        if float(np.asarray(images[0]).mean()) > 128:
            sys.exit(3)
        return [float(np.asarray(image).mean()) for image in images]

    result = zo_dno.optimize(toy, picky, "random_search", queries=32, policy={"breaker": 0})
    assert 0 < result.failed_queries < 32
    assert {row.kind for row in result.history if row.value is None} == {"SystemExit"}


WORKERS: dict[str, dict[str, Any]] = {"plain": SYNC, "asynchronous": ASYNC}
IN_WORKERS = [
    *(
        pytest.param(*what, THREADS, id=f"{kind} {name}")
        for kind, all_ in WORKERS.items()
        for name, what in all_.items()
    ),
    *(pytest.param(one, "timeout", SHORT, id=one.__name__) for one in (ignores_cancellation, never_returns, endless)),
]


@pytest.mark.parametrize(("function", "expected", "policy"), IN_WORKERS)
@pytest.mark.fast_cases(15)
def test_in_workers_of_this_process(function, expected, policy, monkeypatch):
    fake = fake_ray.put_in_place(monkeypatch, in_threads=True)
    reward = reward_of(function)
    pool = RewardActors(reward, 1)
    try:
        check(asked(reward, pool, **policy), expected)
    finally:
        pool.close()
    assert len(fake.killed) == 1 + (4 if policy is SHORT else 0)  # each actor that hangs, and the last at the end


@pytest.fixture(scope="module")
def worker():
    """Return two rewards that misbehave as their prompt says, with an actor of Ray each, which bears with all of it."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actor_pool, "PATIENCE", 300.0)  # a new actor for each call that hangs may start slowly

        def of(is_async):
            if is_async not in made:
                reward = reward_of(named if is_async else named_plain)
                made[is_async] = reward, RewardActors(reward, 1)
            return made[is_async]

        yield of
        for _, pool in made.values():
            pool.close()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    ("is_async", "name", "expected"),
    [(is_async, name, what[1]) for is_async, of in ((False, SYNC), (True, ASYNC)) for name, what in of.items()],
)
def test_in_workers(worker, is_async, name, expected):
    check(asked(*worker(is_async), prompt=name, **THREADS), expected)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    ("is_async", "name"), [(False, "endless"), (True, "ignores_cancellation"), (True, "never_returns")]
)
def test_what_does_not_return_is_given_up_in_workers(worker, is_async, name):
    """Each call that hangs costs an actor."""
    check(asked(*worker(is_async), prompt=name, number=2, **SHORT), "timeout")
    check(asked(*worker(is_async), prompt="base exception", number=1, **THREADS), "OwnExit")
