"""Strategies of fronts: the laws of every strategy, and that they learn from several rewards."""

import numpy as np
import pytest
import torch

from tests.support.play import load
from zo_dno.errors import InputError
from zo_dno.strategies.auto import auto
from zo_dno.strategy import Measured, Problem, SearchesFronts
from zo_dno.surrogate.pareto import hypervolume
from zo_dno.testing import check_strategy
from zo_dno.testing.search import FlatModel, with_model

D = 12
BRIEF = {"parego": {"population": 4, "first": 8, "renders": 4}, "nsga2": {"population": 8}}
HAS_PYMOO = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('pymoo')", reason="needs pymoo")
BOTH = [pytest.param("parego"), pytest.param("nsga2", marks=HAS_PYMOO)]


def made(name, seed=0, rewards=2, d=D, **options):
    problem = Problem(d, 60, seed, rewards=rewards)
    return with_model(load(name)(problem, **{**BRIEF[name], **options}))


def values_of(z):
    """Two rewards of an image that conflict: its left and its right pixels are bright."""
    images = FlatModel().render(z)
    left, right = images[..., :2].mean((1, 2, 3)), images[..., 2:].mean((1, 2, 3))
    return torch.stack([left - 0.5 * right, right - 0.5 * left], 1).double()


def told(strategy, missing=(), infeasible=()):
    """Ask, and tell what was measured; returns the candidates and their values."""
    candidates = strategy.ask()
    values, violations = values_of(candidates.z), torch.zeros(len(candidates), dtype=torch.float64)
    values[[row for row in missing if row < len(values)]] = torch.nan
    violations[[row for row in infeasible if row < len(values)]] = 2.0
    scores = values.min(1).values
    errors = torch.zeros(len(values), dtype=torch.float64)
    if isinstance(strategy, SearchesFronts):
        strategy.tell_measured(Measured(scores, errors, torch.empty(len(values), 0), values, violations))
    strategy.tell(candidates, scores.float())
    return candidates, values[violations == 0]


@pytest.mark.parametrize("name", [pytest.param("parego", marks=pytest.mark.slow), BOTH[1]])
def test_keeps_every_law_with_a_single_score(name):
    check_strategy(lambda problem: with_model(load(name)(problem, **BRIEF[name])))


@pytest.mark.parametrize("name", BOTH)
def test_finds_more_of_a_front_than_prior_draws(name):
    assert isinstance(made(name), SearchesFronts)
    volumes = []
    for one in (made(name), load("random_search")(Problem(D, 60, 0), population=8)):
        found = []
        while sum(map(len, found)) < {"parego": 32, "nsga2": 400}[name]:
            found.append(told(one)[1])
        volumes.append(hypervolume(torch.cat(found).numpy(), np.full(2, -0.5)))
    assert volumes[0] > volumes[1], volumes


@pytest.mark.parametrize("name", BOTH)
def test_missing_and_infeasible_values_are_survived_and_a_restored_state_proposes_the_same(name):
    whole, parts = made(name, seed=3), made(name, seed=3)
    gaps = [{}, {"missing": range(99)}, {"missing": [0, 2]}, {"infeasible": range(99)}, {"infeasible": [1]}]
    for gap in gaps:
        told(whole, **gap)
        told(parts, **gap)
        fresh = made(name, seed=3)
        fresh.load_state_dict(parts.state_dict())
        parts = fresh
        assert bool(whole.state_dict()["_asked"].isfinite().all())
    assert torch.equal(whole.ask().z, parts.ask().z)
    if name == "nsga2":
        assert float((whole._asked.norm(dim=1) / D**0.5 - 1).abs().max()) < 1e-5


def test_directions_of_a_round_are_spread_over_the_front_and_rows_are_climbed_together_or_alone():
    strategy = made("parego", population=4)
    assert sorted((strategy._weights()[:, 0] * 4).long().tolist()) == [0, 1, 2, 3]
    three = made("parego", rewards=3)._weights()
    assert torch.allclose(three.sum(1), torch.ones(4, dtype=torch.float64))
    assert bool((three > 0).all())

    class ByTwo(FlatModel):
        def vjp(self, z, cotangent):
            return torch.cat([super(ByTwo, self).vjp(part, cotangent) for part in z.split(2)])

    asked = []
    for model in (FlatModel(), ByTwo()):
        one = load("parego")(Problem(D, 60, 0, rewards=2), **BRIEF["parego"])
        one.use_model(model)
        told(one)
        asked.append(one.ask().z)
        assert one._together is not isinstance(model, ByTwo)
    assert torch.allclose(*asked, atol=1e-4)


def test_parego_searches_by_images_where_there_are_no_gradients():
    class NoGradient(FlatModel):
        has_gradient = False

    strategy = load("parego")(Problem(D, 60, 0, rewards=2), **BRIEF["parego"])
    strategy.use_model(NoGradient())
    for _ in range(3):
        told(strategy)
    assert len(strategy.ask()) == 4


@HAS_PYMOO
def test_auto_chooses_by_what_there_is(monkeypatch):
    assert auto(Problem(D, 256, 0, rewards=2, surrogate=True)).reason.startswith("parego with a population of 8")
    assert auto(Problem(D, 256, 0, rewards=2)).reason.startswith("nsga2 with a population of 16")
    monkeypatch.setattr("zo_dno.strategies.auto.find_spec", lambda name: None)
    assert "pip install 'zo-dno[fronts]'" in auto(Problem(D, 256, 0, rewards=2)).reason
    monkeypatch.setattr("zo_dno.strategies.nsga2.find_spec", lambda name: None)
    with pytest.raises(InputError, match="nsga2 needs pymoo, which is not installed"):
        made("nsga2")


@HAS_PYMOO
@pytest.mark.parametrize(("option", "message"), [({"population": 3}, "at least 4 with nsga2"), ({"step": 0}, "step")])
def test_options_of_nsga2_that_do_not_fit(option, message):
    with pytest.raises(InputError, match=message):
        made("nsga2", **option)
