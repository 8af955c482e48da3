import os

import numpy as np
import pytest

import zo_dno
from zo_dno.errors import InputError
from zo_dno.pool import RewardPool

pytestmark = pytest.mark.ray


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


class Process(zo_dno.Reward):
    """Scores an image by its own number, and says in which process."""

    name, unit = "process", "n"

    def __call__(self, images, prompts):
        return [zo_dno.Score(float(np.asarray(image).flat[0]), raw=str(os.getpid())) for image in images]


@pytest.fixture(scope="module", autouse=True)
def ray_stops():
    yield
    import ray

    ray.shutdown()


def test_scores_come_back_in_order_from_several_processes():
    pool = RewardPool(Process(), workers=2)
    try:
        for n in (1, 2, 3, 7):
            images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
            scores = pool.ask(images, ["p"] * n)
            assert [score.value for score in scores] == list(range(n))
            assert len({score.raw for score in scores}) == min(n, 2)
            assert str(os.getpid()) not in {score.raw for score in scores}
    finally:
        pool.close()


@pytest.mark.parametrize("reward", ["jpeg_smaller", brightness])
def test_workers_do_not_change_the_result(toy, reward):
    def result(workers):
        found = zo_dno.optimize(toy, reward, "snes", queries=48, seed=1, workers=workers)
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

    pool = RewardPool(Process(), workers=1)
    try:
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        assert os.environ["RAY_AUTH_MODE"] == "token"
    finally:
        pool.close()


def test_bad_number_of_workers():
    with pytest.raises(InputError, match="workers must be at least 1; got 0"):
        RewardPool(Process(), workers=0)
