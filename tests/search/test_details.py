"""What strategies are told beside scores."""

import math

import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.strategies.random_search import RandomSearch
from zo_dno.types import Score


class Listening(RandomSearch):
    """Random search that keeps what was measured."""

    def __init__(self, problem):
        super().__init__(problem, population=4)
        self.heard = []
        listening.append(self)

    def tell_measured(self, measured):
        self.heard.append(measured)


listening: list[Listening] = []


def heard(reward, **options):
    result = zo_dno.optimize(ToyGenerator(), reward, Listening, queries=8, **options)
    (told,) = [strategy.heard for strategy in listening if strategy.heard]
    listening.clear()
    return result.history, told


def test_margins_are_by_how_much_each_threshold_is_met():
    rows, told = heard("brightness", require=["saturation >= 0.2", "contrast <= 0.3"])
    margins = torch.cat([one.margins for one in told])
    rewards = torch.cat([one.rewards for one in told])
    assert margins.shape == (8, 2)
    for row, margin, reward in zip(rows, margins.tolist(), rewards.tolist(), strict=True):
        assert margin == [row.components["saturation"] - 0.2, 0.3 - row.components["contrast"]]
        assert reward == row.value
        assert bool(row.reward_violation) == (min(margin) < 0)


def test_the_error_of_several_raters_is_that_of_their_mean():
    def raters(images, prompts):
        return [Score(2.0, components={"a": 1.0, "b": 2.0, "c": 3.0}, spread=math.sqrt(2 / 3)) for _ in images]

    _, told = heard(raters)
    assert torch.allclose(told[0].errors, torch.full((4,), math.sqrt(1 / 3), dtype=torch.float64))


def test_a_candidate_that_may_not_win_is_told_without_measures():
    rows, told = heard("brightness", require=["saturation >= 0.35"], measures=["brightness", "contrast=0..1"])
    measures = torch.cat([one.measures for one in told]).tolist()
    able = [row.is_feasible(constrained=True) for row in rows]
    assert 0 < sum(able) < 8
    for row, values, one in zip(rows, measures, able, strict=True):
        assert all(map(math.isnan, values)) if not one else values == [row.value, row.components["contrast"]]


def test_one_answer_has_no_known_error():
    _, told = heard("brightness")
    assert not told[0].errors.any()
    assert told[0].margins.shape == (4, 0)
