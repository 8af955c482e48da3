"""Rewards in Ray actors: the same scores as in this process, also after an actor died or hung."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

import zo_dno
from tests.support import fake_ray as fakes
from tests.support.actor_rewards import (
    Awaited,
    Broken,
    Deadly,
    Fatal,
    Process,
    Together,
    Waiting,
    brightness,
    number_and_process,
)
from tests.support.clocks import PATIENCE
from tests.support.light_reward import Loaded
from zo_dno.call_policy import CallPolicy
from zo_dno.distributed.reward_actors import RewardActors
from zo_dno.errors import InputError
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.combinations import WeightedSum
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import image_hash
from zo_dno.types import Query

either = pytest.mark.parametrize(
    "real", [False, pytest.param(True, marks=[pytest.mark.ray, pytest.mark.slow])], ids=["stand-in", "Ray"]
)


def queries(n):
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
    return [Query(i, image, image_hash(image), "p") for i, image in enumerate(images)]


def scored(reward, n, workers=2, **policies):
    return scored_in(RewardActors(reward, workers), reward, n, in_flight=workers, first_wait=0.01, **policies)


def scored_in(pool, reward, n, **policies):
    oracle = Oracle(reward, CallPolicy(**policies), remote=pool)
    try:
        return oracle.ask(queries(n))
    finally:
        oracle.close()
        pool.close()


def test_scores_come_back_in_order(fake_ray):
    assert [response.score.value for response in scored(Process(), 7)] == list(range(7))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("n", [1, 7])
def test_scores_come_back_in_order_from_several_processes(n, tmp_path):
    scores = [response.score for response in scored(Together(tmp_path, min(n, 2)), n)]
    assert [score.value for score in scores] == list(range(n))
    assert len({score.raw for score in scores}) == min(n, 2)
    assert str(os.getpid()) not in {score.raw for score in scores}


@either
def test_an_actor_that_dies_or_hangs_is_replaced(tmp_path, monkeypatch, clock, real):
    """Time passes for the other calls in flight as well, so that they may be late once, too."""
    ray = None if real else fakes.put_in_place(monkeypatch, in_threads=True)
    die = partial(os._exit, 1) if ray is None else ray.exit_actor
    reward = Deadly(tmp_path, die)
    pool = RewardActors(reward, 2)

    def death_is_known_and_another_hangs():
        while max(slot.epoch for slot in pool.actors._slots) < 2 or not (tmp_path / "2").exists():
            time.sleep(0.01)

    clock.advance_after(PATIENCE, death_is_known_and_another_hangs)
    responses = scored_in(pool, reward, 5, in_flight=2, first_wait=0.01, timeout=PATIENCE)
    assert [response.score.value for response in responses] == [0, 1, 2, 3, 4]
    assert responses[1].failures[:1] == ("worker died",)
    assert responses[2].failures == ("timeout",)
    assert {kind for response in responses for kind in response.failures} == {"worker died", "timeout"}


@pytest.mark.slow
@pytest.mark.ray
def test_one_actor_scores_many_images_at_once_with_an_asynchronous_reward():
    reward = Waiting(together=8)
    responses = scored_in(RewardActors(reward, 1, concurrency=8), reward, 8, in_flight=8, timeout=PATIENCE)
    assert [response.score.value for response in responses] == list(range(8))
    assert len({response.score.raw for response in responses}) == 1


def test_a_call_that_is_late_at_an_asynchronous_actor_fails_alone(fake_ray):
    class Late(zo_dno.Reward):
        name, unit, is_async = "late", "n", True

        async def __call__(self, images, prompts):
            if int(np.asarray(images[0]).flat[0]) == 3:
                await asyncio.Event().wait()
            return number_and_process(images)

    pool = RewardActors(Late(), 1, concurrency=4)

    async def called():
        return await asyncio.gather(
            *(pool.call([one.image], ["p"], ["key"], 0.01 if one.id == 3 else None) for one in queries(8))
        )

    try:
        found = asyncio.run(called())
        assert fake_ray.killed == []
    finally:
        pool.close()
    assert found.pop(3).kind == "timeout"
    assert [score.value for (score,) in found] == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.slow
@pytest.mark.ray
def test_a_timeout_of_an_asynchronous_reward_fails_that_query_alone(tmp_path, clock):
    """It hangs until the seven others are over."""

    class Late(zo_dno.Reward):
        name, unit, is_async = "late", "n", True

        async def __call__(self, images, prompts):
            if int(np.asarray(images[0]).flat[0]) == 3:
                await asyncio.sleep(3600)
            return number_and_process(images)

    reward, pool = Late(), RewardActors(Late(), 1, concurrency=4)

    def others_are_over():
        while pool.actors._completed < 7:
            time.sleep(0.01)

    clock.advance_after(PATIENCE, others_are_over)
    responses = scored_in(pool, reward, 8, in_flight=4, timeout=PATIENCE, attempts=1)
    scores = [response.score for response in responses]
    assert [score.value for score in scores if not score.missing] == [0, 1, 2, 4, 5, 6, 7]
    assert scores[3].kind == "timeout"
    assert len({score.raw for score in scores} - {None}) == 1  # the actor was not replaced


def test_a_reward_that_stores_ratings_in_the_run_folder_takes_no_workers():
    with pytest.raises(InputError, match="workers must be 0 with 'human', which stores ratings in the folder"):
        RewardActors(make_reward("human"), workers=2)


@either
def test_a_reward_that_cannot_be_sent_is_refused(monkeypatch, real):
    def put(value):
        raise TypeError("cannot pickle '_thread.lock' object")

    if not real:
        monkeypatch.setattr(fakes.put_in_place(monkeypatch), "put", put)

    class Locked(Process):
        def __init__(self):
            self.lock = threading.Lock()

    with pytest.raises(
        InputError, match="'process' must be something that can be sent.*lock.*set workers to 0"
    ) as error:
        RewardActors(Locked(), workers=2)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.ray
def test_a_reward_that_cannot_start_says_why():
    """Fast tests of errors of a start are in test_actor_pool.py."""
    with pytest.raises(InputError, match="workers could not be started: .*no such model here"):
        RewardActors(Broken(), workers=1)


@pytest.mark.slow
@pytest.mark.ray
def test_an_image_that_kills_every_actor_is_missing_and_the_others_are_not():
    responses = scored(Fatal(only=2), 5, attempts=3)
    assert [response.score.value for response in responses if not response.score.missing] == [0, 1, 3, 4]
    assert responses[2].failures == ("worker died",) * 3


@pytest.mark.slow
@pytest.mark.ray
def test_a_reward_that_kills_every_actor_is_reported_after_a_few():
    with pytest.raises(PauseError, match="workers die at every query"):
        scored(Fatal(), 20, attempts=5)


def test_what_actors_of_a_reward_load_is_without_torch():
    """The fast twin of the next."""
    code = (
        "import sys, tests.support.light_reward, zo_dno.distributed.reward_actors, zo_dno.reward, zo_dno.types\n"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.slow
@pytest.mark.ray
def test_actors_of_a_reward_without_torch_do_not_load_it_and_listen_on_loopback():
    import ray

    (response,) = scored(Loaded(), 1, workers=1)
    assert response.score.raw == "False"
    assert response.score.value < 90
    assert ray.util.get_node_ip_address() == "127.0.0.1"
    assert os.environ["RAY_AUTH_MODE"] == "token"


@pytest.mark.parametrize("reward", ["jpeg_smaller", brightness])
def test_workers_do_not_change_the_result(toy, reward, fake_ray):
    def result(workers):
        found = zo_dno.optimize(toy, reward, "snes", queries=48, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)


def test_terms_of_a_combination_have_actors_each_but_those_that_are_awaited(toy, fake_ray):
    def result(workers):
        reward = WeightedSum(["jpeg_smaller", Process(), Awaited()], standardise=False)
        found = zo_dno.optimize(toy, reward, "snes", queries=16, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)
    assert len(fake_ray.killed) == 2 * 2


@pytest.mark.slow
@pytest.mark.ray
def test_workers_score_the_terms_of_a_combination(toy):
    def result(workers):
        reward = WeightedSum(["jpeg_smaller", Process(), Awaited()], standardise=False)
        found = zo_dno.optimize(toy, reward, "snes", queries=24, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)


def test_a_failing_reward_fails_the_same_in_actors(toy, any_ray):
    def picky(images, prompts):
        if brightness(images, prompts)[0] > 130:
            raise RuntimeError("too bright")
        return brightness(images, prompts)

    here, there = (zo_dno.optimize(toy, picky, "snes", queries=48, seed=1, workers=n) for n in (0, 2))
    assert here.failed_queries == there.failed_queries > 0
    assert here.best.id == there.best.id


def test_bad_number_of_workers():
    with pytest.raises(InputError, match="workers must be at least 1; got 0"):
        RewardActors(Process(), workers=0)
