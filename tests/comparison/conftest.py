"""The comparison that the tests share."""

import signal

import pytest

import zo_dno
from tests.comparison.plans import PLAN, SETTINGS


@pytest.fixture(scope="session")
def found(tmp_path_factory):
    """Run a comparison with Ray Tune."""
    folder = tmp_path_factory.mktemp("comparison") / "out"
    over = []
    made = zo_dno.compare(
        folder,
        PLAN["strategies"],
        PLAN["prompts"],
        at_once=2,
        on_trial=lambda done, of: over.append((done, of)),
        **SETTINGS,
    )
    assert over == [(i, 36) for i in range(1, 37)]
    assert made.unfinished == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # Ray Tune's own stays in place
    return made
