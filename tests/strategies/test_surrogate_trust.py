"""How far a search by a surrogate goes, by what its predictions turned out to be worth."""

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.strategies.test_surrogate import Coloured, reward_of, surrogate
from zo_dno.rng import stream
from zo_dno.testing.search import play, same_candidates


class Chance:
    """A reward that has nothing to do with its images."""

    def __init__(self, seed: int) -> None:
        self._random = stream(seed, "chance")

    def __call__(self, z: Tensor) -> Tensor:
        return torch.randn(len(z), generator=self._random)


def followed(strategy: Any, reward: Any, rounds: int) -> list[bool]:
    """Play so many rounds after the first draws, and return which of them followed predictions."""
    play(strategy, reward, 1)
    found = []
    for _ in range(rounds):
        play(strategy, reward, 1)
        found.append(strategy._followed)
    return found


@pytest.mark.slow
def test_chance_is_searched_without_predictions(caplog):
    """In each of 3 seeds; each search says so once, to those who ask for more than warnings."""
    caplog.set_level(logging.INFO, "zo_dno")
    for seed in range(3):
        assert followed(surrogate(Coloured(), seed), Chance(seed), 12).count(False) >= 4
    assert caplog.text.count("do not lead to better images now: NormalES proposes instead, at times") == 3


def test_what_images_show_is_searched_by_predictions():
    for seed in range(3):
        assert all(followed(surrogate(Coloured(), seed), reward_of, 6))


def test_climbs_become_shorter_without_success(monkeypatch):
    """No round is better than the first draws."""
    steps = []
    monkeypatch.setattr("zo_dno.strategies.surrogate.is_predictable", lambda *_: True)
    monkeypatch.setattr("zo_dno.strategies.surrogate.climb", lambda z, *given: steps.append(given[-1]) or z)
    strategy = surrogate(Coloured())
    play(strategy, reward_of, 1)
    play(strategy, lambda z: reward_of(z) - 10, 4)
    assert steps == pytest.approx([0.15 * 0.7**n for n in range(4)])


def test_a_search_without_predictions_continues_from_a_state():
    chance = Chance(0)
    strategy = surrogate(Coloured())
    while strategy._followed:
        play(strategy, chance, 1)
    play(strategy, chance, 1)
    other = surrogate(Coloured())
    other.load_state_dict(strategy.state_dict())
    assert same_candidates(play(strategy, reward_of, 3), play(other, reward_of, 3))


def test_a_population_without_any_score_does_not_stop_it():
    chance = Chance(0)
    strategy = surrogate(Coloured())
    while strategy._followed:
        play(strategy, chance, 1)
    missing = play(strategy, lambda z: torch.full((len(z),), torch.nan), 1)
    assert len(play(strategy, chance, 1)[0]) == len(missing[0])
