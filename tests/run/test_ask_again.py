"""Queries that failed in an earlier session are sent again where that is asked for."""

import numpy as np
import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError


class Buggy:
    """Scores the brightness, but fails at bright images until it is mended."""

    version = "1"

    def __init__(self):
        self.mended, self.calls = False, 0

    def __call__(self, images):
        self.calls += len(images)
        values = [float(np.asarray(one).mean()) for one in images]
        if not self.mended and max(values) > 130:
            raise ZeroDivisionError("a bug")
        return values


def searched(folder, reward, strategy, **options):
    policy = {"breaker": 0, **options.pop("policy", {})}
    return zo_dno.optimize(ToyGenerator(), reward, strategy, queries=48, out=folder, policy=policy, **options)


@pytest.mark.parametrize(
    ("strategy", "options"), [("snes", {}), ("random_search", {}), ("surrogate", {}), ("snes", {"screen": 2})]
)
@pytest.mark.fast_cases(2)
def test_what_failed_may_win_and_the_search_stays_as_it_was(strategy, options, tmp_path):
    reward = Buggy()
    first = searched(tmp_path / "run", reward, strategy, **options)
    assert first.failed_queries > 4
    reward.mended = True
    before = reward.calls
    again = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=reward, retry_failed=True)
    assert reward.calls - before == first.failed_queries
    assert again.failed_queries == 0
    assert again.best.reward > 130 > first.best.reward
    assert again.queries == first.queries
    assert [row.told for row in again.history] == [row.told for row in first.history]
    assert [row.image for row in again.history] == [row.image for row in first.history]
    assert zo_dno.load(tmp_path / "run").best.reward == again.best.reward
    more = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=reward, queries=64)
    assert (more.drift, more.queries, reward.calls - before) == (None, 64, first.failed_queries + 16)
    assert more.best.reward >= again.best.reward


def test_without_the_option_they_stay_missing(tmp_path):
    reward = Buggy()
    first = searched(tmp_path / "run", reward, "snes")
    reward.mended = True
    calls = reward.calls
    assert (
        zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=reward).failed_queries == first.failed_queries
    )
    assert reward.calls == calls


def test_what_fails_again_stays_missing_with_its_cost(tmp_path):
    reward = Buggy()
    first = searched(tmp_path / "run", reward, "snes", policy={"price": 0.5})
    again = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=reward, retry_failed=True)
    assert again.failed_queries == first.failed_queries
    assert again.cost == first.cost + 0.5 * first.failed_queries
    assert again.best.reward == first.best.reward


def test_a_combination_is_refused(tmp_path):
    zo_dno.optimize(ToyGenerator(), "brightness", queries=16, require="darkness >= 0", out=tmp_path / "run")
    with pytest.raises(InputError, match="retry_failed must be left out with a combination"):
        zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), retry_failed=True)
