"""The comparison that the tests share."""

import pytest

import zo_dno
from tests.comparison.plans import PLAN, SETTINGS
from tests.support import fake_tune as fakes
from zo_dno.comparison.trials import Trials


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """Run the comparison that the tests share."""
    return compared_here(tmp_path_factory.mktemp("comparison") / "out", PLAN["strategies"], PLAN["prompts"], **SETTINGS)


def run_here(plan, out, **_):
    """Run all trials of a plan in this process."""
    trials = Trials(plan, out)
    for trial in plan.trials:
        trials.advance(trial.number, plan.queries)


def compared_here(folder, *entries, **settings):
    """Run a comparison in this process, without the processes of Ray Tune."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zo_dno.comparison.compare.run_trials", run_here)
        made = zo_dno.compare(folder, *entries, **settings)
    assert made.unfinished == 0
    return made


@pytest.fixture
def fake_tune(monkeypatch):
    """Let Ray Tune make its trials in this process."""
    return fakes.put_in_place(monkeypatch)
