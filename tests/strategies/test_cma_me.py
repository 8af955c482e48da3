"""CMA-ME by pyribs: its cells, its state, and what it does not take."""

import pytest
import torch

from tests.support.play import load
from zo_dno.errors import AskTellError, InputError
from zo_dno.strategies.auto import auto
from zo_dno.strategy import Measured, Problem

D = 12
HAS_RIBS = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('ribs')", reason="needs pyribs")
SLOW = pytest.mark.slow  # numba compiles its functions


def made(seed=3, measures=True, **options):
    strategy = load("cma_me")(Problem(D, 60, seed, measures=2), **{"population": 8, **options})
    if measures:
        strategy.use_measures([(-1, 1), (-1, 1)], 5)
    return strategy


def told(strategy, missing=()):
    candidates = strategy.ask()
    scores, measures = candidates.z[:, 0].clone(), candidates.z[:, 1:3].double()
    scores[[row for row in missing if row < len(scores)]] = torch.nan
    measures[3, 1] = torch.nan
    zeros = torch.zeros(len(scores), dtype=torch.float64)
    strategy.tell_measured(Measured(scores, zeros, torch.empty(len(scores), 0), measures=measures))
    strategy.tell(candidates, scores)
    return candidates


@HAS_RIBS
@SLOW
def test_fills_cells_survives_missing_values_and_proposes_the_same_from_a_restored_state():
    whole, parts = made(), made()
    for missing in ([], [0, 2], range(99), [], []):
        told(whole, missing)
        told(parts, missing)
        fresh = made()
        fresh.load_state_dict(parts.state_dict())
        parts = fresh
    asked = whole.ask().z, parts.ask().z
    assert torch.equal(*asked)
    assert float((asked[0].norm(dim=1) / D**0.5 - 1).abs().max()) < 1e-5
    assert whole._archive.stats.num_elites == parts._archive.stats.num_elites > 4


@HAS_RIBS
@pytest.mark.parametrize(
    ("options", "message"),
    [({"population": 2}, "at least 4 with cma_me; got 2"), ({"sigma": 0}, "sigma must be")],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError, match=message):
        made(**options)


@HAS_RIBS
def test_auto_takes_it_where_it_is_installed(monkeypatch):
    with pytest.raises(AskTellError, match="must be given measures"):
        made(measures=False)._propose()
    assert auto(Problem(D, 256, 0, measures=2)).reason.startswith("cma_me with a population of 16")


def test_without_pyribs_it_says_so_and_auto_takes_another(monkeypatch):
    monkeypatch.setattr("zo_dno.strategies.auto.find_spec", lambda name: None)
    monkeypatch.setattr("zo_dno.strategies.cma_me.find_spec", lambda name: None)
    assert "pip install 'zo-dno[diverse]'" in auto(Problem(D, 256, 0, measures=2)).reason
    with pytest.raises(InputError, match="cma_me needs pyribs, which is not installed"):
        made(measures=False)
