"""Plans of comparisons: their trials, and mistakes that are refused."""

import pytest

from tests.comparison.plans import PLAN, TOY
from zo_dno import InputError
from zo_dno.comparison.plan import Plan, read_plan


def test_spaces_cross_with_strategies_that_name_none():
    low = {"strategy": "cmaes", "space": "low_band", "space_options": {"dims": 12}, "name": "cma, low"}
    plan = Plan(["snes", low], ["one"], spaces=["all", "subspace"], seeds=1, queries=16, settings=TOY)
    assert [trial.entry for trial in plan.trials] == ["random_search", "snes", "snes, subspace", "cma, low"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ["sness"]}, "strategy 'sness' is unknown"),
        ({"strategies": [{"strategy": "snes", "option": 1}]}, "strategy key 'option' is unknown"),
        ({"strategies": ["snes", {"strategy": "pgpe", "name": "snes"}]}, "different names; 'snes' is there twice"),
        ({"rewards": []}, "rewards must be a list of different values; got []"),
        ({"prompts": "one"}, "prompts must be a list of different values; got 'one'"),
        ({"seeds": 0}, "seeds must be at least 1; got 0"),
        ({"budgets": [64]}, r"budgets must be between 1 and the 48 queries; got \[64\]"),
        ({"stepz": 3}, "comparison key 'stepz' is unknown"),
        ({"strategy": "snes"}, "strategy must be given in the plural"),
        ({"prompt": "one"}, "prompt must be given in the plural"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(InputError, match=message.replace("[]", r"\[\]")):
        read_plan({**PLAN, **changes})
