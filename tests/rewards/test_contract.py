import asyncio
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zo_dno.rewards import REWARDS
from zo_dno.run.build import make_reward

PROMPT = "mountains at dusk"
OPTIONS = {  # for the rewards that need some; {folder} holds reference.png
    "similarity": {"reference": "{folder}/reference.png"},
    "weighted_sum": {
        "parts": '{"brightness": 1, "sizes": {"reward": "jpeg_smaller", "options": {"quality": 50}, "weight": -2}}',
        "scales": '{"brightness": [0.5, 0.1], "sizes": [-2, 0.5]}',
    },
    "product": {"parts": '["brightness", "contrast"]'},
    "min": {"parts": '["brightness", "darkness"]', "standardise": "false"},
    "constrained": {"reward": "jpeg_smaller", "require": "contrast >= 0.05", "scales": '{"contrast": [0.2, 0.1]}'},
    "command": {"command": "sh -c 'wc -c < \"$1\"' sh {image}"},
}

ELSEWHERE = {  # those that need weights, a server or somebody; their own tests hold them to the same
    *("clip_score", "pick_score", "aesthetic", "hps", "image_reward"),
    *("http", "vlm", "vlm_compare", "human"),
}


def pictures(n: int, seed: int = 0, side: int = 64) -> list[Image.Image]:
    """Make blurred noise, so that no two compress alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in small]


def ask(reward, images) -> list[float]:
    """Ask about images, on an event loop where the reward waits on one."""
    answers = reward(images, [PROMPT] * len(images))
    answers = asyncio.run(_awaited(answers)) if reward.is_async else answers
    return [getattr(answer, "value", answer) for answer in answers]


async def _awaited(answers):
    return await answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewards")
    pictures(1, seed=9)[0].save(folder / "reference.png")
    return folder


@pytest.fixture
def reward(name, folder):
    options = OPTIONS.get(name, {})
    return make_reward(name, {key: text.replace("{folder}", str(folder)) for key, text in options.items()})


@pytest.mark.parametrize("name", [name for name in REWARDS if name not in ELSEWHERE])
class TestEveryReward:
    def test_a_batch_equals_single_calls_in_any_order(self, reward):
        images = pictures(5)
        together = ask(reward, images)
        single = [ask(reward, [image])[0] for image in images]
        assert together == pytest.approx(single, abs=1e-6)
        assert ask(reward, images[::-1]) == pytest.approx(together[::-1], abs=1e-6)

    def test_the_same_image_has_the_same_score_within_the_range(self, reward):
        images = pictures(2)
        low, high = reward.range
        first, second = ask(reward, images), ask(reward, images)
        assert first == second
        assert all(low <= value <= high for value in first)

    def test_says_what_it_is(self, name, reward):
        assert reward.name == ("jpeg_smaller" if name == "constrained" else name)
        assert reward.unit
        assert dict(reward.settings) is not None

    def test_its_settings_make_it_again(self, name, reward):
        same = make_reward(name, reward.settings)
        assert same.identity == reward.identity
        assert json.loads(json.dumps(reward.identity)) == reward.identity

    def test_leaves_images_and_generators_alone(self, reward):
        images = pictures(2)
        before = [np.asarray(image).copy() for image in images]
        state, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
        ask(reward, images)
        assert torch.equal(torch.get_rng_state(), state)
        assert np.array_equal(np.random.get_state()[1], legacy)
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
