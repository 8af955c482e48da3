"""The private attributes of nevergrad that the strategy relies on: a new version that takes one away is named here."""

import nevergrad
import pytest

from zo_dno.strategies.nevergrad_private import optimizers_of, tame_cma

VERSION = f"nevergrad {nevergrad.__version__}"


def built(name):
    return nevergrad.optimizers.registry[name](nevergrad.p.Array(shape=(4,)), budget=32, num_workers=4)


def test_its_cma_has_the_attributes_that_are_set():
    optimizer = built("DiagonalCMA")
    for name in ("_es", "_config", "_popsize", "es"):
        assert hasattr(optimizer, name), f"{VERSION} has no {name} in its CMA"
    for name in ("fcmaes", "inopts"):
        assert hasattr(optimizer._config, name), f"{VERSION} has no {name} in the configuration of its CMA"
    assert tame_cma(optimizer) == optimizer._popsize > 1
    assert optimizer.es.stop() == {}


def test_other_optimizers_need_no_population_of_their_own():
    assert tame_cma(built("OnePlusOne")) == 1


@pytest.mark.parametrize(
    ("name", "attribute"), [("NGOpt8", "optim"), ("NGOpt8", "_optim"), ("RescaledCMA", "_optimizer"), ("CM", "optims")]
)
def test_optimizers_inside_others_are_found(name, attribute):
    optimizer = built(name)
    assert hasattr(optimizer, attribute), f"{VERSION} has no {attribute} in {name}"
    assert len(list(optimizers_of(optimizer))) > 1
