"""Fixtures of the tests with Ray actors."""

import pytest

from tests.support import fake_ray as fakes
from zo_dno.distributed import actor_pool


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let actors start slowly, so that the tests pass on a busy machine."""
    monkeypatch.setattr(actor_pool, "PATIENCE", 300.0)


@pytest.fixture(params=["stand-in", pytest.param("Ray", marks=[pytest.mark.ray, pytest.mark.slow])])
def any_ray(request, monkeypatch):
    """Let actors be objects of this process, and in the slow set processes of a real Ray."""
    if request.param == "stand-in":
        fakes.put_in_place(monkeypatch)


@pytest.fixture
def fake_ray(monkeypatch):
    """Let actors be objects of this process."""
    return fakes.put_in_place(monkeypatch)
