"""Pre-selection: the predictions, the selected candidates, and the gain."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

import zo_dno
from tests.support.pictures import textures
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.search.preselection import FIRST, Preselection
from zo_dno.storage.ledger import Ledger
from zo_dno.surrogate.pixels import pixel_features_of


def features(some):
    return np.stack([pixel_features_of(image) for image in some])


def test_every_candidate_is_queried_before_there_are_enough_scores():
    preselection = Preselection(4, seed=0)
    assert preselection.choose(0, features(textures(16)), np.ones(16, bool)).places == tuple(range(16))


def test_a_reward_that_features_do_not_explain_is_not_predicted():
    preselection, rng = Preselection(4, seed=0), np.random.default_rng(1)
    preselection.learn(list(features(textures(64))), rng.normal(size=64).tolist())
    assert preselection.choose(4, features(textures(16, seed=2)), np.ones(16, bool)).places == tuple(range(16))
    assert preselection.trust < 0.5


def test_the_most_promising_plausible_candidates_are_selected():
    preselection, some = Preselection(4, seed=0), textures(64)
    preselection.learn(list(features(some)), [float(image.mean()) for image in some])
    new = textures(16, seed=5)
    plausible = np.arange(16) != int(np.argmax([image.mean() for image in new]))
    hits = 0
    for number in range(20):
        chosen = preselection.choose(number, features(new), plausible)
        assert len(chosen.places) == 4
        ranked = sorted(np.flatnonzero(plausible), key=lambda place: -new[place].mean())
        hits += len(set(chosen.places) & set(ranked[:5]))
    assert hits >= 36  # of 80 queries; at random it would be 27


OPTIONS = {"queries": 96, "screen": 4, "threads": 1, "strategy": "snes"}


def test_a_run_with_preselection_renders_more_images_than_it_queries(toy, tmp_path):
    queried = []

    def judge(some, prompts):
        queried.extend(some)
        return [float(np.asarray(image).mean()) for image in some]

    result = zo_dno.optimize(toy, judge, out=tmp_path / "run", **OPTIONS)
    assert result.queries == len(queried) == len(result.history) == 96
    assert result.images > 96 * 2
    assert result.nfe == result.images * toy.nfe
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
    assert len(rows) == result.images
    assert {row.status for row in rows} == {"scored", "screened"}
    assert [row.status for row in rows[:FIRST]] == ["scored"] * FIRST
    assert all(row.value is None and row.told is not None for row in rows if row.status == "screened")
    assert result.best.reward == max(row.value for row in rows if row.value is not None and row.plausible)
    assert zo_dno.load(tmp_path / "run").images == result.images


@pytest.mark.slow
@pytest.mark.parametrize("stop", [17, 40, 63])
def test_a_resumed_run_with_preselection_gives_the_same_result(toy, tmp_path, stop):
    calls = 0

    def judge(some, prompts):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return [float(np.asarray(image).mean()) for image in some]

    judge.version = "1"
    whole = zo_dno.optimize(toy, lambda some, prompts: [float(np.asarray(image).mean()) for image in some], **OPTIONS)
    assert zo_dno.optimize(toy, judge, out=tmp_path / "run", **OPTIONS).status == "interrupted"
    result = zo_dno.resume(tmp_path / "run", generator=toy, reward=judge)
    assert [row.value for row in result.history] == [row.value for row in whole.history]
    assert [row.id for row in result.history] == [row.id for row in whole.history]
    assert result.images == whole.images


@pytest.mark.slow
def test_a_resumed_run_with_preselection_continues_with_a_larger_budget(toy, tmp_path):
    whole = zo_dno.optimize(toy, "brightness", **{**OPTIONS, "queries": 75}, horizon=75)
    zo_dno.optimize(toy, "brightness", out=tmp_path / "run", **{**OPTIONS, "queries": 50}, horizon=75)
    result = zo_dno.resume(tmp_path / "run", queries=75, generator=toy)
    assert [row.id for row in result.history] == [row.id for row in whole.history]


def gains_of_preselection(seeds):
    gains = []
    for seed in seeds:
        plain, screened = (
            zo_dno.optimize(ToyGenerator(), "contrast", seed=seed, **{**OPTIONS, "screen": factor}).best.reward
            for factor in (0, 4)
        )
        gains.append(screened - plain)
    return gains


def test_what_is_selected_is_better_than_what_was_drawn_before(toy):
    """24 selected of 96 independent draws against 48 draws; a t of 3 comes by chance in 0.2 % of all cases."""
    options = {**OPTIONS, "strategy": "random_search", "strategy_options": {"population": 48}, "queries": 72}
    rewards = [row.value for row in zo_dno.optimize(toy, "brightness", seed=1, **options).history]
    assert stats.ttest_ind(rewards[48:], rewards[:48]).statistic > 3


@pytest.mark.slow
def test_preselection_finds_better_rewards():
    """Of 12 paired runs with 96 queries on a reward of texture, at least 10 are better: 2 % of false alarms."""
    assert sum(gain > 0 for gain in gains_of_preselection(range(12))) >= 10


@pytest.mark.slow
def test_preselection_finds_better_rewards_in_a_few_pairs():
    """A sign-flip test of 5 paired runs at the level 1/16."""
    gains = gains_of_preselection(range(5))
    flipped = [
        sum(sign * gain for sign, gain in zip(signs, gains, strict=True)) for signs in product((-1, 1), repeat=5)
    ]
    assert sum(total >= sum(gains) for total in flipped) / len(flipped) <= 1 / 16


def test_a_factor_of_1_is_refused(toy):
    with pytest.raises(InputError, match="screen must be 0, or at least 2 images for a query; got 1"):
        zo_dno.optimize(toy, "brightness", queries=16, screen=1)
