"""`normal_es`: how far its mean gets, whatever it is told."""

import math

import pytest
import torch

from tests.support.play import play
from zo_dno import InputError
from zo_dno.rng import stream
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategy import Problem

D = 20_000


def after(queries, population, reward, **options):
    strategy = NormalES(Problem(D, queries, seed=0), population=population, **options)
    play(strategy, reward, queries // population)
    return strategy


@pytest.mark.parametrize("population", [4, 16])
@pytest.mark.parametrize("queries", [32, 512])
def test_the_last_candidates_are_turned_by_ten_degrees_whatever_the_plan(queries, population):
    """Noise of different candidates is orthogonal but for 1 / sqrt(d)."""
    rng = stream(1, "scores")
    strategy = after(queries, population, lambda z: torch.randn(len(z), generator=rng))
    assert math.degrees(math.asin(strategy.step_size)) == pytest.approx(10, rel=0.05)


def test_reach_is_the_norm_of_the_mean_in_the_end():
    rng = stream(1, "scores")
    strategy = after(64, 8, lambda z: torch.randn(len(z), generator=rng), reach=2.0)
    assert 1 / math.tan(math.asin(strategy.step_size)) == pytest.approx(2, rel=0.05)
    with pytest.raises(InputError, match=r"reach must be above 0; got 0\. 4 to 8 are usual"):
        NormalES(Problem(D, 64, seed=0), reach=0)


def test_equal_scores_move_nothing():
    assert after(32, 8, lambda z: torch.ones(len(z))).step_size == pytest.approx(1)
