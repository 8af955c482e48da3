"""Fixtures of the tests with Ray actors."""

import pytest

from tests.support.fake_ray import FakeRay
from zo_dno.distributed import actor_pool, generator_actors, reward_actors


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Let actors start slowly, so that the tests pass on a busy machine."""
    monkeypatch.setattr(actor_pool, "PATIENCE", 300.0)


@pytest.fixture
def fake_ray(monkeypatch):
    """Let actors be objects of this process."""
    fake = FakeRay()
    for module in (generator_actors, reward_actors):
        monkeypatch.setattr(module, "connect", lambda *_, **__: fake)
    return fake
