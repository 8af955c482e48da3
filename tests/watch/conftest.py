"""Runs to watch."""

import contextlib
import shutil

import numpy as np
import pytest

from tests.support import resuming
from tests.support.browser import chromium
from tests.support.toys import ToyGenerator
from zo_dno.errors import RunError

HOSTILE = "<script>alert(1)</script> & \N{RIGHT-TO-LEFT OVERRIDE}"


def noisy(images, prompts):
    """Likes pixels that differ from their neighbours, which no other reward of these runs does."""
    return [float(np.abs(np.diff(np.asarray(image, dtype=float), axis=1)).mean()) for image in images]


def even(images, prompts):
    return [-value for value in noisy(images, prompts)]


def broken(images, prompts):
    raise ValueError("<b>no model</b> at this address")


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A finished run whose reward was hacked, a failed one, and one that was stopped."""
    top = tmp_path_factory.mktemp("watched") / "runs"
    resuming.run(top / "hacked", noisy, toy=ToyGenerator(prompt=HOSTILE), held_out=[even], queries=32, max_cost=None)
    with contextlib.suppress(RunError):
        resuming.run(top / "failed", broken, queries=16, policy=resuming.PAID, max_cost=1.0)
    resuming.run(top / "stopped", resuming.stops(21, KeyboardInterrupt()), policy=resuming.PAID, max_cost=2.0)
    return top


@pytest.fixture
def runs(made, tmp_path):
    """A copy of the runs for one test."""
    return shutil.copytree(made, tmp_path / "runs")


@pytest.fixture(scope="package")
def browser():
    with chromium() as found:
        yield found
