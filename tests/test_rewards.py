import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zo_dno.parts import make_reward
from zo_dno.rewards import REWARDS

PROMPT = "mountains at dusk"


def pictures(n: int, seed: int = 0, side: int = 64) -> list[Image.Image]:
    """Make blurred noise, so that no two compress alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in small]


@pytest.mark.parametrize("name", REWARDS)
class TestEveryReward:
    def test_a_batch_equals_single_calls_in_any_order(self, name):
        reward, images = make_reward(name), pictures(5)
        together = list(reward(images, [PROMPT] * 5))
        single = [reward([image], [PROMPT])[0] for image in images]
        assert together == pytest.approx(single, abs=1e-6)
        assert list(reward(images[::-1], [PROMPT] * 5)) == pytest.approx(together[::-1], abs=1e-6)

    def test_the_same_image_has_the_same_score_within_the_range(self, name):
        reward, images = make_reward(name), pictures(2)
        low, high = reward.range
        first, second = reward(images, [PROMPT] * 2), reward(images, [PROMPT] * 2)
        assert list(first) == list(second)
        assert all(low <= value <= high for value in first)

    def test_says_what_it_is(self, name):
        reward = make_reward(name)
        assert reward.name == name
        assert reward.unit
        assert dict(reward.settings) is not None

    def test_leaves_images_and_generators_alone(self, name):
        images = pictures(2)
        before = [np.asarray(image).copy() for image in images]
        state = torch.get_rng_state()
        make_reward(name)(images, [PROMPT] * 2)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(before, images, strict=True))


@settings(max_examples=20, deadline=None)
@given(quality=st.integers(1, 100), chroma=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]))
def test_jpeg_is_the_size_of_the_file_that_pillow_writes(quality, chroma):
    (image,) = pictures(1)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=chroma)
    options = {"quality": quality, "chroma": chroma}
    assert make_reward("jpeg_larger", options)([image], [""]) == [len(file.getvalue()) / 1000]
    assert make_reward("jpeg_smaller", options)([image], [""]) == [-len(file.getvalue()) / 1000]


def test_jpeg_knows_its_settings():
    assert make_reward("jpeg_smaller").settings == {"quality": 95, "chroma": "4:2:0"}
    assert make_reward("jpeg_smaller", {"quality": "75"}).settings == {"quality": 75, "chroma": "4:2:0"}


def test_brightness_of_black_white_and_half():
    images = [Image.new("RGB", (4, 4), colour) for colour in ("black", "white", (255, 0, 0))]
    assert make_reward("brightness")(images, [""] * 3) == pytest.approx([0, 1, 1 / 3])
    assert make_reward("darkness")(images, [""] * 3) == pytest.approx([1, 0, 2 / 3])
