"""Plans of comparisons: their trials, and mistakes that are refused."""

import re

import pytest

from tests.comparison.plans import PLAN, TOY
from tests.support.dying import KilledError, going_wrong
from zo_dno import InputError
from zo_dno.comparison.compare import RUNS, _keep, with_sized_model
from zo_dno.comparison.plan import PLAN as PLAN_FILE
from zo_dno.comparison.plan import Plan, read_plan
from zo_dno.storage.signature import SIGNATURE


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
        ({"strategies": 5}, "strategies must be a list of different values; got 5"),
        ({"strategies": [5]}, "strategies must be a list of names and mappings; got 5"),
        ({"strategies": [{"strategy": [1]}]}, r"strategy must be a name, or an object of Python; got \[1\]"),
        ({"strategies": [{"name": "a"}]}, "strategy is missing in {'name': 'a'}; each entry names its strategy"),
        ({"strategies": [{"strategy": "snes", 5: 1}]}, "strategy key '5' is unknown"),
        (
            {"strategies": [{"strategy": "snes", "strategy_options": [1]}]},
            r"strategy_options must be a mapping of names to values; got \[1\]",
        ),
        ({"rewards": [None]}, "rewards must be a list of names and mappings; got None"),
        ({"rewards": [{"reward": "contrast", "reward_options": 1}]}, "reward_options must be a mapping.*; got 1"),
        ({"prompts": 5}, "prompts must be a list of different values; got 5"),
        ({"prompts": ["one", 5]}, "prompts must be text; got 5"),
        ({"spaces": [5]}, "spaces must be text; got 5"),
        ({"spaces": {"all": 1}}, "spaces must be a list of different values; got {'all': 1}"),
        ({"seeds": 0}, "seeds must be at least 1; got 0"),
        ({"seeds": "abc"}, "seeds must be a number of seeds or a list of different whole numbers; got 'abc'"),
        ({"seeds": 1.5}, "seeds must be a number of seeds or a list of different whole numbers; got 1.5"),
        ({"seeds": []}, r"seeds must be a number of seeds or a list of different whole numbers; got \[\]"),
        ({"seeds": [0, 0]}, r"seeds must be a number of seeds or a list of different whole numbers; got \[0, 0\]"),
        ({"seeds": [0, "x"]}, "seeds must be a number of seeds or a list of different whole numbers"),
        ({"queries": "abc"}, "queries must be a whole number; got 'abc'"),
        ({"queries": 64.5}, "queries must be a whole number; got 64.5"),
        ({"queries": 0}, "queries must be at least 1; got 0"),
        ({"budgets": 5}, "budgets must be a list; got 5"),
        ({"budgets": [16, "x"]}, "budgets must be a whole number; got 'x'"),
        ({5: 1}, "comparison key '5' is unknown"),
        ({"budgets": [64]}, r"budgets must be between 1 and the 48 queries; got \[64\]"),
        ({"stepz": 3}, "comparison key 'stepz' is unknown"),
        ({"strategy": "snes"}, "strategy must be given in the plural"),
        ({"prompt": "one"}, "prompt must be given in the plural"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(InputError, match=message.replace("[]", r"\[\]")) as caught:
        read_plan({**PLAN, **changes})
    assert "\n" not in str(caught.value)


def test_seeds_may_be_given_one_by_one():
    plan = Plan(("snes",), ("one",), seeds=range(3, 5), queries=16, settings=TOY)
    assert [trial.seed for trial in plan.trials] == [3, 3, 4, 4]
    assert plan.to_dict()["seeds"] == [3, 4]


@pytest.mark.parametrize("at", [1, 2])
def test_a_folder_whose_writing_was_cut_off_takes_the_same_comparison(tmp_path, at):
    plan, out = Plan(["snes"], ["one"], seeds=1, queries=16, settings=TOY), tmp_path / "out"
    with going_wrong(at, "before", files=True), pytest.raises(KilledError):
        _keep(plan, out, early_stopping=False)
    _keep(plan, out, early_stopping=False)
    assert {path.name for path in out.iterdir()} == {RUNS, PLAN_FILE, SIGNATURE}


@pytest.mark.parametrize(
    ("strategies", "prompts", "seeds", "said"),
    [
        (
            ["snes"],
            ["sea"],
            5,
            "5 pairs of runs cannot be told from chance with 1 claim, which take 6. Give at least 6 s",
        ),
        (["snes", "pgpe"], ["sea", "city"], 3, "6 pairs of runs .* with 2 claims, which take 7. Give at least 4 seeds"),
        (["snes"], ["sea", "city"], 3, ""),
    ],
)
def test_seeds_that_claims_need_are_known_before_anything_runs(strategies, prompts, seeds, said):
    found = Plan(strategies, prompts, seeds=seeds, settings=TOY).too_few_runs
    assert re.search(said, found) if said else not found


def test_a_prompt_that_the_built_in_model_does_not_know_is_refused_before_anything_starts():
    with pytest.raises(InputError, match="prompt must follow the scene grammar; got 'a cat'"):
        Plan(["snes"], ["sea at dusk", "a cat"])
    assert Plan(["snes"], ["a cat"], settings=TOY).trials


def test_a_comparison_of_before_there_were_two_sizes_keeps_the_size_it_had(tmp_path):
    plan = Plan(["snes"], ["sea at dusk"], queries=8)
    new = with_sized_model(plan, tmp_path)
    assert new.settings["model"] == "scenes-128"
    _keep(new, tmp_path, False)
    path = tmp_path / PLAN_FILE
    written = path.read_text()
    for old in ("", "model: scenes\n"):
        path.write_text(written.replace("model: scenes-128\n", old))
        found = with_sized_model(plan, tmp_path)
        assert found.settings["model"] == "scenes-64"
        _keep(found, tmp_path, False)
    with pytest.raises(InputError, match="differs in model"):
        _keep(new, tmp_path, False)
