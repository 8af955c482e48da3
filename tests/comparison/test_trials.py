"""Trials of comparisons: each is a run that may fail, resume or use given objects."""

import os

import pytest

import zo_dno
from tests.comparison.plans import TOY
from tests.support.fake_ray import DeathError
from tests.support.toys import ToyGenerator
from zo_dno import InputError, RunError
from zo_dno.comparison.plan import Plan
from zo_dno.comparison.table import completed
from zo_dno.comparison.trials import Trials, failure, forget_failures, gain, is_over
from zo_dno.distributed.generator_actors import GeneratorPool

DOWN: set[str] = set()


def lamp(images, prompts):
    """Score brightness, unless the power is down."""
    if DOWN:
        raise RuntimeError("no power")
    return [image.resize((1, 1)).convert("L").getpixel((0, 0)) for image in images]


class Faulty(ToyGenerator):
    """Renders nothing."""

    def __call__(self, z):
        raise KeyError("two\nlines")


class Killed(ToyGenerator):
    """Ends its process, as the kernel does where memory is short."""

    def __call__(self, z):
        os._exit(9)


class Gone(ToyGenerator):
    """Ends its stand-in for an actor."""

    def __call__(self, z):
        raise DeathError


def redness(images, prompts):
    return [sum(pixel[0] for pixel in image.getdata()) for image in images]


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=[pytest.mark.ray, pytest.mark.slow])])
def test_more_gpus_than_there_are_is_refused(tmp_path, request, real):
    if not real:
        request.getfixturevalue("fake_tune")
    with pytest.raises(InputError, match=r"generator_gpus must be at most \d+, as many as there are here; got 1000"):
        zo_dno.compare(tmp_path / "out", ["snes"], ["one"], seeds=1, queries=16, generator_gpus=1000, **TOY)


def test_a_failed_run_leaves_its_reason(tmp_path):
    def broken(images, prompts):
        raise RuntimeError("no power")

    plan = Plan(["snes"], ["one"], [broken], 1, queries=16, settings={**TOY, "policy": {"attempts": 1}})
    trials = Trials(plan, tmp_path)
    assert trials.advance(0, 16) < -1e6
    assert "no power" in (plan.trials[0].folder(tmp_path) / "failed.txt").read_text()


def test_a_trial_that_an_outage_stopped_is_retried_in_the_next_session_only(tmp_path):
    plan = Plan(["snes"], ["one"], [lamp], 1, queries=16, settings={**TOY, "policy": {"attempts": 1}})
    trials, folder = Trials(plan, tmp_path), plan.trials[0].folder(tmp_path)
    DOWN.add("power")
    trials.advance(0, 16)
    DOWN.clear()
    assert trials.advance(0, 16) < -1e6
    assert is_over(plan.trials[0], tmp_path)
    forget_failures(plan, tmp_path)
    assert not is_over(plan.trials[0], tmp_path)
    assert Trials(plan, tmp_path).advance(0, 16) > -1e6
    assert failure(folder) is None
    assert len(completed(folder)) == 16


def test_any_error_of_a_trial_is_its_reason_in_one_line(tmp_path):
    plan = Plan(["snes"], ["one"], seeds=1, queries=16, settings={**TOY, "model": f"{__name__}:Faulty"})
    Trials(plan, tmp_path).advance(0, 16)
    reason = failure(plan.trials[0].folder(tmp_path))
    assert "could not render" in reason
    assert r"KeyError: 'two\nlines' (test_trials.py, line" in reason


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=[pytest.mark.ray, pytest.mark.slow])])
def test_a_trial_whose_process_dies_says_so_and_is_left_to_run(tmp_path, request, real):
    if not real:
        request.getfixturevalue("fake_tune")
    some = {**TOY, "model": f"{__name__}:{'Killed' if real else 'Gone'}"}
    with pytest.raises(
        RunError, match="No run of the comparison is far enough to be shown: ActorDiedError: The actor died"
    ):
        zo_dno.compare(tmp_path / "out", ["random_search"], ["one"], seeds=1, queries=16, at_once=1, **some)
    assert zo_dno.Comparison.load(tmp_path / "out").unfinished == 1


def test_a_gain_is_that_of_the_queries_asked_for(tmp_path):
    """A run may have come further in an earlier session; where trials may be stopped early, each begins anew."""
    plan = Plan(["snes"], ["one"], ["brightness"], 1, queries=64, settings=TOY)
    Trials(plan, tmp_path).advance(1, 64)
    rows = completed(plan.trials[1].folder(tmp_path))
    assert Trials(plan, tmp_path).advance(1, 32) == gain(rows[:32], constrained=True) < gain(rows, constrained=True)


def test_generators_that_are_no_longer_kept_stop_their_actors(tmp_path, monkeypatch):
    closed = []

    class Pool(ToyGenerator, GeneratorPool):
        """A pool whose actors are this process."""

        def __init__(self, prompt):
            super().__init__()
            self.prompt = prompt

        def close(self):
            closed.append(self.prompt)

    monkeypatch.setattr("zo_dno.run.make_generator.make_generator", lambda config: Pool(config.prompt))
    plan = Plan(["random_search"], list("abcdef"), ["brightness"], 1, queries=4, settings=TOY)
    trials = Trials(plan, tmp_path)
    for trial in plan.trials:
        assert trials._generator(trial).prompt == trial.prompt
    assert closed == ["a", "b"]
    trials.close()
    assert closed == list("abcdef")


def test_functions_replace_names(tmp_path):
    plan = Plan(["snes"], ["one"], [redness], 1, queries=16, settings=TOY)
    assert [trial.reward for trial in plan.trials] == ["redness", "redness"]
    Trials(plan, tmp_path).advance(1, 16)
    assert len(completed(plan.trials[1].folder(tmp_path))) == 16


def test_the_model_has_one_seed_in_all_runs_of_a_plan():
    plan = Plan(["snes"], ["sea at dusk", "forest at day"], seeds=2, queries=8, settings={"model": "scenes-64"})
    assert {trial.config.generator_seed for trial in plan.trials} == {0}
    assert {trial.config.seed for trial in plan.trials} == {0, 1}


@pytest.mark.slow
def test_runs_of_all_seeds_share_the_model_and_its_own_seed(tmp_path):
    """An actor that made other runs first renders the same images, and a run resumes in any actor."""
    settings = {"model": "scenes-64", "steps": 1, "threads": 1, "generator_options": {"eta": 1.0}}
    plan = Plan(["snes"], ["sea at dusk"], seeds=2, queries=8, settings=settings)
    Trials(plan, tmp_path / "one").advance(3, 8)
    later = Trials(plan, tmp_path / "other")
    later.advance(1, 8)
    later.advance(3, 4)
    Trials(plan, tmp_path / "other").advance(3, 8)
    rows = [completed(plan.trials[3].folder(tmp_path / name)) for name in ("one", "other")]
    assert [row.image for row in rows[0]] == [row.image for row in rows[1]]
