"""Plans of comparisons: their trials, and mistakes that are refused."""

import pytest

from tests.comparison.plans import PLAN, TOY
from tests.support.dying import KilledError, going_wrong
from zo_dno import InputError
from zo_dno.comparison.compare import RUNS, _keep
from zo_dno.comparison.plan import PLAN as PLAN_FILE
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


@pytest.mark.parametrize("at", [1, 2])
def test_a_folder_whose_writing_was_cut_off_takes_the_same_comparison(tmp_path, at):
    plan, out = Plan(["snes"], ["one"], seeds=1, queries=16, settings=TOY), tmp_path / "out"
    with going_wrong(at, "before", files=True), pytest.raises(KilledError):
        _keep(plan, out, early_stopping=False)
    _keep(plan, out, early_stopping=False)
    assert {path.name for path in out.iterdir()} == {RUNS, PLAN_FILE}
