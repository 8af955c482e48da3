"""What a run decides where its caller leaves it open: whether `auto` climbs a surrogate, and pre-selection."""

import numpy as np
import pytest

import zo_dno
from tests.support.toys import SmoothToy, ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.rewards.combinations import Min
from zo_dno.run.decisions import FEW, FEWEST, with_decisions
from zo_dno.run.make_reward import make_reward
from zo_dno.run.options import RunOptions
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.ledger import Ledger


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


PRICE = {"policy": {"price": 0.01}}


def decided(smooth=True, **options):
    generator = SmoothToy() if smooth else ToyGenerator()
    return with_decisions(RunOptions(**{"queries": FEW, **PRICE, **options}), make_reward("brightness"), generator)


@pytest.mark.parametrize(
    ("options", "climbs"),
    [
        ({}, True),
        ({"queries": FEW + 1}, False),
        ({"policy": {}}, False),
        ({"policy": {"durable": True}}, True),
        ({"policy": {}, "climb": True}, True),
        ({"strategy": "snes"}, False),
        ({"lag": 1}, False),
        ({"screen": 4}, False),
        ({"screen": 0}, True),
        ({"space": "low_band"}, False),
        ({"smooth": False}, False),
        ({"smooth": False, "max_cost": 1.0}, True),
        ({"smooth": False, "max_cost": 1.0, "repeats": 2}, False),
        ({"smooth": False, "max_cost": 1.0, "queries": FEW + 1}, False),
        ({"climb": False}, False),
        ({"nfe": 1000}, False),
        ({"seconds": 100.0}, False),
        ({"queries": FEWEST}, True),
        ({"queries": FEWEST - 1}, False),
        ({"horizon": FEW + 1}, False),
        ({"max_cost": 1.0, "climb": True}, True),
    ],
    ids=str,
)
def test_a_surrogate_is_searched_where_queries_cost_something(options, climbs):
    found = decided(**options)
    assert found.climb is climbs
    assert not (found.climb and found.screen)


def test_a_priced_term_makes_queries_costly():
    class Priced(zo_dno.Reward):
        name, unit, policy = "priced", "points", CallPolicy(price=0.01)

        def __call__(self, images, prompts):
            return brightness(images, prompts)

    assert with_decisions(RunOptions(queries=FEW), make_reward(Min(["contrast", Priced()])), SmoothToy()).climb
    assert not with_decisions(RunOptions(queries=FEW), make_reward(Min(["contrast", "brightness"])), SmoothToy()).climb


def test_the_decision_is_said_recorded_and_kept(tmp_path):
    result = zo_dno.optimize(SmoothToy(), brightness, queries=32, seed=1, out=tmp_path / "run", **PRICE)
    assert result.chosen.startswith("surrogate with a population of 8: ")
    assert result.strategy_images > 15 * 16
    assert read_yaml(tmp_path / "run" / "config.yaml")["climb"] is True
    more = zo_dno.resume(tmp_path / "run", queries=48, generator=SmoothToy(), reward=brightness)
    assert more.chosen.startswith("surrogate")
    plain = zo_dno.optimize(SmoothToy(), brightness, queries=32, seed=1, climb=False, **PRICE)
    assert plain.chosen.startswith("normal_es")
    assert result.best.reward > plain.best.reward


def test_a_run_from_before_the_decision_goes_on_as_it_began(tmp_path):
    """Its config has no such option."""
    options = {"queries": 24, "horizon": 48, "climb": False}
    before = zo_dno.optimize(SmoothToy(), brightness, out=tmp_path / "run", **options)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("climb: false\n", ""))
    ledger = Ledger(tmp_path / "run" / "ledger.db")
    ledger.set({"config": {name: value for name, value in ledger.get("config").items() if name != "climb"}})
    ledger.close()
    after = zo_dno.resume(tmp_path / "run", queries=40, generator=SmoothToy(), reward=brightness)
    assert after.chosen == before.chosen
    assert after.strategy_images == 0


def test_a_surrogate_in_a_space_is_refused_where_it_was_asked_for():
    options = {"space": "low_band", "space_options": {"dims": 12}, "climb": True}
    with pytest.raises(InputError, match="space must be 'all', and near left out, with Surrogate"):
        zo_dno.optimize(SmoothToy(), brightness, queries=32, **options)
