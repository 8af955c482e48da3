"""Fixtures of the tests with Ray actors."""

import pytest

from zo_dno.distributed import actor_pool


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let actors start slowly, so that the tests pass on a busy machine."""
    monkeypatch.setattr(actor_pool, "PATIENCE", 300.0)
