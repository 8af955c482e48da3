"""What the number of images in one pass changes, and when that makes another reward."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from tests.support.learning import made
from tests.support.resuming import resume, run
from zo_dno.errors import InputError
from zo_dno.rewards.learned import LearnedReward, batch_effect
from zo_dno.storage.ledger import Ledger


@dataclass(frozen=True)
class Mixed(LearnedReward):
    """Red light, to which every other image of the batch adds a little, as a wrong padding might."""

    name = "mixed"
    unit = "grey levels"
    passes: ClassVar[list[int]] = []
    model: str = "none"
    leak: float = 0.0

    @property
    def weights(self) -> dict[str, Path]:
        return {}

    def _scores(self, images, prompts, device):
        self.passes.append(len(images))
        red = torch.tensor([image.convert("RGB").getpixel((0, 0))[0] for image in images], dtype=torch.float32)
        return red + self.leak * (len(images) - 1)


def test_the_effect_is_the_largest_difference_of_three_images():
    assert batch_effect(Mixed(leak=0.25)) == 0.5
    assert batch_effect(Mixed(leak=-0.25)) == 0.5
    assert batch_effect(Mixed()) == 0


@pytest.mark.parametrize(("leak", "dependent"), [(0.0, False), (0.0004, False), (0.0006, True), (1.0, True)])
def test_a_batch_beyond_the_tolerance_is_another_reward(leak, dependent):
    identities = [Mixed(leak=leak, batch=batch).identity for batch in (2, 16)]
    assert (identities[0] != identities[1]) == dependent
    assert ("batch" in identities[0]) == dependent
    assert "batch" not in Mixed(leak=leak, batch=1).identity


def test_in_low_precision_a_batch_is_always_another_reward():
    assert Mixed(dtype="bfloat16", batch=2).identity["batch"] == 2
    assert Mixed(dtype="bfloat16", batch=1).identity["batch"] == 1


def test_it_is_found_by_four_passes_once_a_process():
    batch_effect.cache_clear()
    Mixed.passes.clear()
    for _ in range(3):
        assert Mixed(leak=0.125, batch=8).identity["batch"] == 8
    assert Mixed.passes == [3, 1, 1, 1]


@pytest.mark.parametrize("name", ["clip_score", "hps", "image_reward"])
def test_the_learned_rewards_stay_within_their_tolerance(name, models):
    reward = made(name, models)
    assert batch_effect(reward) < reward.tolerance / 5


def test_a_run_is_not_resumed_with_a_batch_beyond_the_tolerance(tmp_path):
    run(tmp_path / "mixed", Mixed(leak=1.0, batch=4), queries=16)
    with pytest.raises(InputError, match=r"reward batch: 4, now 8\."):
        resume(tmp_path / "mixed", Mixed(leak=1.0, batch=8), queries=24)
    assert resume(tmp_path / "mixed", Mixed(leak=1.0, batch=4), queries=24).drift is None


def test_a_run_of_an_earlier_version_in_low_precision_is_resumed(tmp_path):
    reward = Mixed(dtype="bfloat16", batch=4)
    run(tmp_path / "old", reward, queries=16)
    ledger = Ledger(tmp_path / "old" / "ledger.db")
    ledger.set({"reward": {name: value for name, value in reward.identity.items() if name != "batch"}})
    ledger.close()
    assert resume(tmp_path / "old", reward, queries=24).drift is None
    with pytest.raises(InputError, match=r"reward batch: 4, now 2\."):  # it is known from now on
        resume(tmp_path / "old", Mixed(dtype="bfloat16", batch=2), queries=32)
