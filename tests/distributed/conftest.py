"""Fixtures of the tests with Ray actors."""

import pytest

from tests.support import fake_ray as fakes
from zo_dno.distributed import actor_pool


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let actors start slowly, so that the tests pass on a busy machine."""
    monkeypatch.setattr(actor_pool, "PATIENCE", 300.0)


@pytest.fixture
def fake_ray(monkeypatch):
    """Let actors be objects of this process."""
    return fakes.put_in_place(monkeypatch)
