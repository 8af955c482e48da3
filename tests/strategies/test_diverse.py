"""Strategies of diverse sets: that they search a set, and that their state is whole."""

import pytest
import torch

from tests.support.play import load
from zo_dno.errors import InputError
from zo_dno.strategies.auto import auto
from zo_dno.strategy import Measured, Problem
from zo_dno.surrogate.distances import make_distance
from zo_dno.surrogate.members import best_set
from zo_dno.testing import check_strategy
from zo_dno.testing.search import FlatModel, with_model
from zo_dno.types.diversity import SearchesDiverse

D, SIZE, LEAST = 12, 4, 0.1
BRIEF = {"robot": {"population": 4, "first": 8, "renders": 4}, "niching": {"population": 8}}
BOTH = ["robot", "niching"]


class NoGradient(FlatModel):
    has_gradient = False


class Set:
    """The images of a strategy, and the best set of them."""

    def __init__(self, model=None, least=LEAST):
        self.model, self.least = model or FlatModel(), least
        self.distance = make_distance("pixels")
        self.described, self.rewards = torch.empty(0, 12), torch.empty(0)

    def take(self, z):
        images = (self.model.render(z) * 255).round() / 255
        self.described = torch.cat([self.described, self.distance.describe(images)])
        found = images[..., :2].mean((1, 2, 3)) - 0.3 * images[..., 2:].mean((1, 2, 3))
        self.rewards = torch.cat([self.rewards, found])
        return found

    @property
    def members(self):
        apart = self.distance.between(self.described, self.described).double().numpy()
        return best_set(self.rewards.nan_to_num(nan=-9.0).double().numpy(), apart, SIZE, self.least)

    @property
    def mean(self):
        members = self.members
        return len(members), float(self.rewards[members].mean())


def made(name, seed=0, model=None, distance=None, **options):
    strategy = load(name)(Problem(D, 60, seed, diverse=SIZE), **{**BRIEF[name], **options})
    if name == "robot":
        strategy.use_distance(distance or make_distance("pixels"), LEAST)
        strategy.use_model(model or FlatModel())
    return strategy


def told(strategy, found, missing=()):
    candidates = strategy.ask()
    scores = found.take(candidates.z)
    scores[[row for row in missing if row < len(scores)]] = torch.nan
    found.rewards[len(found.rewards) - len(scores) :] = scores
    zeros = torch.zeros(len(scores), dtype=torch.float64)
    if isinstance(strategy, SearchesDiverse):
        strategy.tell_measured(Measured(scores, zeros, torch.empty(len(scores), 0), members=tuple(found.members)))
    strategy.tell(candidates, scores)
    return candidates


@pytest.mark.parametrize("name", [pytest.param("robot", marks=pytest.mark.slow), "niching"])
def test_keeps_every_law_without_a_set(name):
    def build(problem):
        return with_model(load(name)(problem, **{**BRIEF[name], **({"renders": 2} if name == "robot" else {})}))

    check_strategy(build)


@pytest.mark.parametrize("name", BOTH)
def test_finds_a_better_set_than_prior_draws(name):
    assert isinstance(made(name), SearchesDiverse)
    queries, found = {"robot": 24, "niching": 160}[name], []
    for strategy in (made(name), load("random_search")(Problem(D, 60, 0), population=8)):
        found.append(Set())
        while len(found[-1].rewards) < queries:
            told(strategy, found[-1])
    assert found[0].mean > found[1].mean


@pytest.mark.parametrize("name", BOTH)
def test_missing_scores_are_survived_and_a_restored_state_proposes_the_same(name):
    whole, parts = made(name, seed=3), made(name, seed=3)
    sets = Set(), Set()
    for missing in ([], range(99), [0, 2], []):
        told(whole, sets[0], missing)
        told(parts, sets[1], missing)
        fresh = made(name, seed=3)
        fresh.load_state_dict(parts.state_dict())
        parts = fresh
    asked = whole.ask().z, parts.ask().z
    assert torch.equal(*asked)
    assert bool(asked[0].isfinite().all())


def test_robot_begins_at_members_and_keeps_its_climbs_apart_from_the_others():
    strategy, found = made("robot", fresh=0.01), Set()
    for _ in range(2):
        told(strategy, found)
    members = found.members
    known = strategy._known
    begin, rows, others = strategy._places(known)
    assert (len(begin), known.ids[rows].tolist()) == (4, members)
    assert others.sum(1).tolist() == [len(members) - (place < len(members)) for place in range(4)]
    acquisition = strategy._fitted(known)
    worth = strategy._worth(known, acquisition, rows, others)
    images = strategy._images(known.z[rows[:1]]).expand(4, -1, -1, -1)
    alone = worth.worth(images)
    assert float(worth(images)[0]) == pytest.approx(float(alone[0]), abs=20 * worth.unit * 0.1)
    assert float(worth(images)[1]) < float(alone[1]) - 15 * worth.unit


@pytest.mark.parametrize("model", [NoGradient(), FlatModel()])
def test_robot_searches_by_images_where_pipeline_or_distance_has_no_gradient(model):
    distance = make_distance(lambda images: images.detach().mean((2, 3)))
    strategy, found = made("robot", model=model, distance=distance), Set(model)
    for _ in range(3):
        told(strategy, found)
    assert (len(strategy.ask()), strategy._climbs and model.has_gradient) == (4, False)


def test_robot_climbs_one_by_one_where_a_batch_is_split():
    class ByTwo(FlatModel):
        def vjp(self, z, cotangent):
            return torch.cat([super(ByTwo, self).vjp(part, cotangent) for part in z.split(2)])

    asked = []
    for model in (FlatModel(), ByTwo()):
        strategy, found = made("robot", model=model), Set(model)
        told(strategy, found)
        asked.append(strategy.ask().z)
        assert strategy._together is not isinstance(model, ByTwo)
    assert torch.allclose(*asked, atol=1e-4)


def test_auto_chooses_by_what_there_is():
    assert auto(Problem(D, 256, 0, diverse=4, surrogate=True)).reason.startswith("robot with a population of 8")
    assert auto(Problem(D, 256, 0, diverse=12, surrogate=True)).reason.startswith("robot with a population of 12")
    assert auto(Problem(D, 256, 0, diverse=4)).reason.startswith("niching with a population of 16")
    assert auto(Problem(D, 256, 0, diverse=4, lag=1)).reason.endswith("with a lag it climbs to a single image")


@pytest.mark.parametrize("option", [{"step": 0}, {"mixed": 2}])
def test_options_of_niching_that_do_not_fit(option):
    with pytest.raises(InputError, match="step must be above 0 and at most 1, and mixed 0 to 1"):
        made("niching", **option)
