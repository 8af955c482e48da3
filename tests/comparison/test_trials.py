"""Trials of comparisons: each is a run that may fail, resume or use given objects."""

import pytest

import zo_dno
from tests.comparison.plans import TOY
from zo_dno import InputError
from zo_dno.comparison.plan import Plan
from zo_dno.comparison.table import completed
from zo_dno.comparison.trials import Trials


def redness(images, prompts):
    return [sum(pixel[0] for pixel in image.getdata()) for image in images]


@pytest.mark.ray
def test_more_gpus_than_there_are_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"generator_gpus must be at most \d+, as many as there are here; got 1000"):
        zo_dno.compare(tmp_path / "out", ["snes"], ["one"], seeds=1, queries=16, generator_gpus=1000, **TOY)


def test_a_failed_run_leaves_its_reason(tmp_path):
    def broken(images, prompts):
        raise RuntimeError("no power")

    plan = Plan(["snes"], ["one"], [broken], 1, queries=16, settings={**TOY, "policy": {"attempts": 1}})
    trials = Trials(plan, tmp_path)
    assert trials.advance(0, 16) < -1e6
    assert "no power" in (plan.trials[0].folder(tmp_path) / "failed.txt").read_text()


def test_functions_replace_names(tmp_path):
    plan = Plan(["snes"], ["one"], [redness], 1, queries=16, settings=TOY)
    assert [trial.reward for trial in plan.trials] == ["redness", "redness"]
    Trials(plan, tmp_path).advance(1, 16)
    assert len(completed(plan.trials[1].folder(tmp_path))) == 16


def test_the_model_has_one_seed_in_all_runs_of_a_plan():
    plan = Plan(["snes"], ["sea at dusk", "forest at day"], seeds=2, queries=8, settings={"model": "scenes"})
    assert {trial.config.generator_seed for trial in plan.trials} == {0}
    assert {trial.config.seed for trial in plan.trials} == {0, 1}


@pytest.mark.slow
def test_runs_of_all_seeds_share_the_model_and_its_own_seed(tmp_path):
    """An actor that made other runs first renders the same images, and a run resumes in any actor."""
    settings = {"model": "scenes", "steps": 1, "threads": 1, "generator_options": {"eta": 1.0}}
    plan = Plan(["snes"], ["sea at dusk"], seeds=2, queries=8, settings=settings)
    Trials(plan, tmp_path / "one").advance(3, 8)
    later = Trials(plan, tmp_path / "other")
    later.advance(1, 8)
    later.advance(3, 4)
    Trials(plan, tmp_path / "other").advance(3, 8)
    rows = [completed(plan.trials[3].folder(tmp_path / name)) for name in ("one", "other")]
    assert [row.image for row in rows[0]] == [row.image for row in rows[1]]
