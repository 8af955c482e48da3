"""Searching a strategy's options: the better ones are found, and what does not fit is named."""

from functools import partial
from pathlib import Path

import pytest

import zo_dno
from tests.comparison.plans import TOY
from zo_dno import InputError
from zo_dno.comparison.tuning import _plan, _try

GIVEN = {"rewards": ["brightness"], "queries": 48, "model": "tests.support.toys:ToyGenerator"}


@pytest.mark.ray
@pytest.mark.slow
def test_good_options_are_told_from_bad_ones(tmp_path):
    """A reach of 0.05 hardly moves: the half of the sets with the larger reaches has the larger mean."""
    found = zo_dno.tune(
        *(tmp_path, "normal_es", {"reach": (0.05, 4.0)}, ["one"]),
        seeds=2,
        trials=4,
        searcher="nevergrad",
        at_once=2,
        **GIVEN,
    )
    assert len(found.options) == 4
    assert list(found.gains) == sorted(found.gains, reverse=True)
    assert found.best == found.options[0]
    ordered = sorted(zip(found.options, found.gains, strict=True), key=lambda one: one[0]["reach"])
    low, high = (sum(gain for _, gain in half) for half in (ordered[:2], ordered[2:]))
    assert high > low


def test_other_settings_are_other_runs_and_more_seeds_are_more_of_the_same(tmp_path):
    """Runs of the same options in another space, or with another weight, gave the results of the former."""

    def tried(seeds=1, space="all", **settings):
        plan_of = partial(_plan, "normal_es", ["one"], ["brightness"], seeds, space, 16, {**TOY, **settings})
        _try(plan_of, tmp_path, str(Path.cwd()), {"reach": 2.0})
        return {folder.name: len(list(folder.glob("runs/*/result.json"))) for folder in tmp_path.iterdir()}

    assert list(tried().values()) == [1]
    assert list(tried(seeds=2).values()) == [2]
    assert list(tried(keep_images=2).values()) == [2]  # what a resumed run may change makes no other runs
    assert list(tried(policy={"in_flight": 2}).values()) == [2]
    others = ({"space": "channels"}, {"gamma": 0.5}, {"horizon": 32})
    for number, other in enumerate(others, 2):
        assert sorted(tried(**other).values()) == [1] * (number - 1) + [2]


FEW = {"ranges": {"reach": (0.05, 4.0)}, "prompts": ["one"], "seeds": 1, "trials": 2, "searcher": "random"}
FAULTY = {**GIVEN, "model": "tests.comparison.test_trials:Faulty"}
REFUSED = r"no set of options could be run: generator .* could not render .*: KeyError: 'two.*lines'"


@pytest.mark.usefixtures("fake_tune")
def test_the_set_with_the_larger_gain_comes_first(tmp_path):
    found = zo_dno.tune(tmp_path, "normal_es", **FEW, **GIVEN)
    assert [one["reach"] for one in found.options] == [4.0, 0.05]
    assert found.gains[0] > found.gains[1]


@pytest.mark.usefixtures("fake_tune")
def test_what_all_runs_failed_of_is_why_no_set_could_be_run(tmp_path):
    with pytest.raises(InputError, match=REFUSED):
        zo_dno.tune(tmp_path, "normal_es", **FEW, **FAULTY)


@pytest.mark.ray
@pytest.mark.slow
def test_the_reason_why_no_set_could_be_run_is_named(tmp_path):
    with pytest.raises(InputError, match=REFUSED):
        zo_dno.tune(tmp_path, "normal_es", **{**FEW, "trials": 1}, at_once=1, **FAULTY)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ranges": {"raech": (0.1, 1.0)}}, "normal_es option 'raech' is unknown"),
        (
            {"ranges": {"reach": (1.0, 0.1)}},
            r"range of reach must be \(low, high\) or a list of choices; got \(1.0, 0.1\)",
        ),
        ({"ranges": {"reach": []}}, "range of reach must be"),
        ({"searcher": "grid"}, "searcher must be one of nevergrad, optuna, random; got 'grid'"),
        ({"trials": 0}, "trials must be at least 1; got 0"),
    ],
)
def test_mistakes_are_named(tmp_path, changes, message):
    given = {"ranges": {"reach": (0.1, 1.0)}, **GIVEN, **changes}
    with pytest.raises(InputError, match=message):
        zo_dno.tune(tmp_path, "normal_es", given.pop("ranges"), ["one"], **given)
