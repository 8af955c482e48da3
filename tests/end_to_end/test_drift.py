"""A run that cannot go on as it began is refused, or goes on and says so."""

import json

import numpy as np
import pytest

from tests.support.resuming import PAID, brightness, edit, resume, run
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.storage.ledger import Ledger


def test_an_edited_config_is_refused_with_what_differs(tmp_path):
    run(tmp_path / "run", queries=24)
    edit(tmp_path / "run", seed=4, gamma=0.1)
    with pytest.raises(
        InputError, match=r"cannot be resumed as it began: gamma: 0.0, now 0.1; seed: 3, now 4\..*--accept-drift"
    ):
        resume(tmp_path / "run", queries=48)
    edit(tmp_path / "run", seed=3, gamma=0.0, top=2)  # how many are kept may change
    assert resume(tmp_path / "run", queries=48).drift is None


def test_another_reward_is_refused_unless_accepted(tmp_path):
    run(tmp_path / "run", queries=24)

    def other(images, prompts):
        return [2 * value for value in brightness(images, prompts)]

    other.__name__ = "brightness"
    with pytest.raises(InputError, match="reward code"):
        resume(tmp_path / "run", other, queries=48)
    result = resume(tmp_path / "run", other, queries=48, accept_drift=True)
    assert "reward code" in result.drift
    assert "reward code" in json.loads((tmp_path / "run" / "result.json").read_text())["drift"]
    assert resume(tmp_path / "run", other).drift == result.drift


def test_a_model_that_draws_something_else_is_refused(tmp_path):
    run(tmp_path / "run", queries=24)
    other = ToyGenerator()
    other._map = other._map * 1.01
    with pytest.raises(InputError, match="the model renders another image of candidate"):
        resume(tmp_path / "run", toy=other, queries=48)
    result = resume(tmp_path / "run", toy=other, queries=48, accept_drift=True)
    assert "the model renders another image" in result.drift


@pytest.fixture
def other_noise(monkeypatch):
    """Make torch draw other numbers from the same seed, as another version might."""
    from zo_dno.strategies.base import PopulationStrategy

    def change():
        randn = PopulationStrategy.randn
        monkeypatch.setattr(PopulationStrategy, "randn", lambda self, n: randn(self, n).flip(1))

    return change


def test_other_noise_is_refused_or_goes_on_from_the_snapshot(tmp_path, other_noise):
    before = run(tmp_path / "run", queries=28, policy=PAID)
    other_noise()
    with pytest.raises(InputError, match="the strategy proposes other noise from query 1 on"):
        resume(tmp_path / "run", queries=48)
    result = resume(tmp_path / "run", queries=40, accept_drift=True)
    assert "other noise" in result.drift
    assert result.queries == 40
    assert result.best.reward >= before.best.reward
    assert np.array_equal(ToyGenerator()(result.best.z[None])[0].numpy(), result.best.image)
    result = resume(tmp_path / "run", queries=48)  # from the next snapshot, without asking again
    assert result.queries == 48
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
    assert [row.told_seq for row in rows] == list(range(48))
    assert sum(row.cost for row in rows) == pytest.approx(0.48)


def test_a_free_run_has_no_snapshot_to_go_on_from(tmp_path, other_noise):
    run(tmp_path / "run", queries=24)
    other_noise()
    with pytest.raises(InputError, match="snapshot .* cannot be read"):
        resume(tmp_path / "run", queries=48, accept_drift=True)
