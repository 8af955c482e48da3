"""Strategies that are asked again before the last population is told."""

import pytest
import torch

from tests.support.play import NAMES, WHITE_BOX, load, play, same_candidates, shifted_sphere
from zo_dno.errors import AskTellError, InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem

LAG = 2
TAKING = [name for name in NAMES if name == "auto" or getattr(load(name), "TAKES_LAG", False)]
taking = pytest.mark.parametrize("name", TAKING)


def make(name, lag=LAG, d=60, seed=0, horizon=240, population=8):
    return load(name)(Problem(d, horizon, seed, lag=lag), population=population)


def play_late(strategy, reward, populations):
    """Tell every population once `LAG` others have been asked for."""
    hands, asked = [], []
    for _ in range(populations):
        if len(hands) > LAG:
            first = hands.pop(0)
            strategy.tell(first, reward(first.z))
        hands.append(strategy.ask())
        asked.append(hands[-1].z)
    for hand in hands:
        strategy.tell(hand, reward(hand.z))
    return asked


def test_most_strategies_take_a_lag():
    assert len(TAKING) >= 14
    for name in sorted(set(NAMES) - set(TAKING)):
        with pytest.raises(InputError, match=r"lag must be 0 with \w+, which has to know every score first; got 2"):
            make(name)
    with pytest.raises(InputError, match="lag must be at least 0; got -1"):
        Problem(3, 3, 0, lag=-1)


@taking
def test_asks_no_more_than_its_lag_allows(name):
    strategy = make(name)
    hands = [strategy.ask() for _ in range(LAG + 1)]
    ids = [id_ for hand in hands for id_ in hand.ids]
    assert ids == list(range(len(ids)))
    with pytest.raises(AskTellError, match="the first of the last 3 populations is told; [78] of [78] scores"):
        strategy.ask()
    strategy.tell(hands[1], shifted_sphere(hands[1].z))  # another one than the first
    assert strategy.ask().ids[0] == hands[-1].ids[-1] + 1
    with pytest.raises(AskTellError, match="rows of one ask that waits for scores"):
        strategy.tell(hands[1], shifted_sphere(hands[1].z))


@taking
def test_learns_the_same_from_a_population_whatever_was_asked_since(name):
    prompt, late = make(name, lag=0), make(name)
    one, other = (getattr(strategy, "inner", strategy) for strategy in (prompt, late))
    assert isinstance(one, PopulationStrategy)
    candidates = prompt.ask()
    scores = shifted_sphere(candidates.z)
    assert torch.equal(late.ask().z, candidates.z)
    late.ask()
    prompt.tell(candidates, scores)
    late.tell(candidates[:3], scores[:3])
    late.tell(candidates[3:], scores[3:])
    for attribute in set(one.STATE) - set(one.OF_POPULATION):
        learnt, learnt_late = getattr(one, attribute), getattr(other, attribute)
        assert str(learnt) == str(learnt_late), attribute


@taking
def test_still_finds_its_way(name):
    """The last of 60 populations are better than prior draws by 5 of their standard deviations."""
    if name == "random_search":
        return
    asked = play_late(make(name, d=60, horizon=480), shifted_sphere, 60)
    prior = shifted_sphere(torch.randn(2000, 60, generator=torch.Generator().manual_seed(1)))
    assert float(shifted_sphere(torch.cat(asked[-4:])).mean()) > float(prior.mean() + 5 * prior.std() / 32**0.5)


@taking
@pytest.mark.parametrize("told", [0, 3, 8])
def test_state_goes_on_with_several_populations_outstanding(name, told):
    old, new = make(name), make(name)
    play(old, shifted_sphere, 2)
    hands = [old.ask() for _ in range(3)]
    old.tell(hands[0][:told], shifted_sphere(hands[0].z)[:told])
    state = old.state_dict()
    play(new, shifted_sphere, 1)
    new.load_state_dict(state)
    for strategy in (old, new):
        strategy.tell(hands[0][told:], shifted_sphere(hands[0].z)[told:])
    following = [strategy.ask() for strategy in (old, new)]
    assert torch.equal(following[0].z, following[1].z)
    for strategy, last in zip((old, new), following, strict=True):
        for hand in (*hands[1:], last):
            strategy.tell(hand, shifted_sphere(hand.z))
    assert same_candidates(play(old, shifted_sphere, 2), play(new, shifted_sphere, 2))


def test_white_box_strategies_take_none():
    assert not WHITE_BOX & set(TAKING)
