"""Rewards in Ray actors: the same scores as in this process, also after an actor died or hung."""

import asyncio
import os
import threading
import time
from functools import partial

import numpy as np
import pytest

import zo_dno
from tests.support import fake_ray as fakes
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

pytestmark = pytest.mark.ray


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def number_and_process(images):
    return [zo_dno.Score(float(np.asarray(image).flat[0]), raw=str(os.getpid())) for image in images]


class Process(zo_dno.Reward):
    """Scores an image by its own number; `raw` is the process."""

    name, unit = "process", "n"

    def __call__(self, images, prompts):
        return number_and_process(images)


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


class Together(Process):
    """Waits at its first call until calls have begun in `processes` processes."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes

    def __call__(self, images, prompts):
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < self.processes:
            time.sleep(0.01)
        return number_and_process(images)


@pytest.mark.parametrize("n", [7, *(pytest.param(fewer, marks=pytest.mark.slow) for fewer in (1, 2))])
def test_scores_come_back_in_order_from_several_processes(n, tmp_path):
    scores = [response.score for response in scored(Together(tmp_path, min(n, 2)), n)]
    assert [score.value for score in scores] == list(range(n))
    assert len({score.raw for score in scores}) == min(n, 2)
    assert str(os.getpid()) not in {score.raw for score in scores}


class Deadly(Process):
    """Ends its actor by `die` at its first call about image 1, and hangs at its first about image 2."""

    def __init__(self, folder, die):
        self.folder, self.die = folder, die

    def __call__(self, images, prompts):
        number = int(np.asarray(images[0]).flat[0])
        mark = self.folder / str(number)
        if number in (1, 2) and not mark.exists():
            mark.touch()
            if number == 1:
                self.die()
            time.sleep(3600)
        return super().__call__(images, prompts)


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["stand-in", "Ray"])
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


class Waiting(zo_dno.Reward):
    """Waits until `together` images are being scored at once."""

    name, unit, is_async = "waiting", "n", True

    def __init__(self, together):
        self.together, self.calls = together, 0

    async def __call__(self, images, prompts):
        self.calls += 1
        while self.calls < self.together:
            await asyncio.sleep(0.01)
        return number_and_process(images)


@pytest.mark.slow
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


def test_a_reward_that_cannot_be_sent_is_refused():
    class Locked(Process):
        def __init__(self):
            self.lock = threading.Lock()

    with pytest.raises(
        InputError, match="'process' must be something that can be sent.*lock.*set workers to 0"
    ) as error:
        RewardActors(Locked(), workers=2)
    assert "\n" not in str(error.value)


class Broken(Process):
    """Cannot be made in another process."""

    def __reduce__(self):
        return _fails, ()


def _fails():
    raise RuntimeError("no such model here")


def test_a_reward_that_cannot_start_says_why():
    with pytest.raises(InputError, match="workers could not be started: .*no such model here"):
        RewardActors(Broken(), workers=1)


class Fatal(Process):
    """Ends its process; with `only`, at that image alone."""

    def __init__(self, only=None):
        self.only = only

    def __call__(self, images, prompts):
        if self.only is None or int(np.asarray(images[0]).flat[0]) == self.only:
            os._exit(1)
        return super().__call__(images, prompts)


@pytest.mark.slow
def test_an_image_that_kills_every_actor_is_missing_and_the_others_are_not():
    responses = scored(Fatal(only=2), 5, attempts=3)
    assert [response.score.value for response in responses if not response.score.missing] == [0, 1, 3, 4]
    assert responses[2].failures == ("worker died",) * 3


@pytest.mark.slow
def test_a_reward_that_kills_every_actor_is_reported_after_a_few():
    with pytest.raises(PauseError, match="workers die at every query"):
        scored(Fatal(), 20, attempts=5)


def test_actors_of_a_reward_without_torch_do_not_load_it():
    (response,) = scored(Loaded(), 1, workers=1)
    assert response.score.raw == "False"
    assert response.score.value < 90


@pytest.mark.parametrize("reward", [pytest.param("jpeg_smaller", marks=pytest.mark.slow), brightness])
def test_workers_do_not_change_the_result(toy, reward):
    def result(workers):
        found = zo_dno.optimize(toy, reward, "snes", queries=48, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)


class Awaited(zo_dno.Reward):
    """Scores the brightness asynchronously."""

    name, unit, is_async = "awaited", "n", True

    async def __call__(self, images, prompts):
        return brightness(images, prompts)


def test_terms_of_a_combination_have_actors_each_but_those_that_are_awaited(toy, fake_ray):
    def result(workers):
        reward = WeightedSum(["jpeg_smaller", Process(), Awaited()], standardise=False)
        found = zo_dno.optimize(toy, reward, "snes", queries=16, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)
    assert len(fake_ray.killed) == 2 * 2


@pytest.mark.slow
def test_workers_score_the_terms_of_a_combination(toy):
    def result(workers):
        reward = WeightedSum(["jpeg_smaller", Process(), Awaited()], standardise=False)
        found = zo_dno.optimize(toy, reward, "snes", queries=24, seed=1, workers=workers)
        return {key: value for key, value in found.to_dict().items() if key != "seconds"}

    assert result(2) == result(0)


def test_a_failing_reward_fails_the_same_in_actors(toy):
    def picky(images, prompts):
        if brightness(images, prompts)[0] > 130:
            raise RuntimeError("too bright")
        return brightness(images, prompts)

    here, there = (zo_dno.optimize(toy, picky, "snes", queries=48, seed=1, workers=n) for n in (0, 2))
    assert here.failed_queries == there.failed_queries > 0
    assert here.best.id == there.best.id


def test_everything_listens_on_loopback():
    import ray

    pool = RewardActors(Process(), workers=1)
    try:
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        assert os.environ["RAY_AUTH_MODE"] == "token"
    finally:
        pool.close()


def test_bad_number_of_workers():
    with pytest.raises(InputError, match="workers must be at least 1; got 0"):
        RewardActors(Process(), workers=0)
