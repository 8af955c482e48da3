import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zo_dno.rewards import REWARDS
from zo_dno.run.make_reward import make_reward
from zo_dno.testing import REWARD_LAWS
from zo_dno.testing.reward_laws import pictures

PROMPT = "mountains at dusk"
OPTIONS = {  # for the rewards that need some; {folder} holds reference.png
    "similarity": {"reference": "{folder}/reference.png"},
    "weighted_sum": {
        "parts": '{"brightness": 1, "sizes": {"reward": "jpeg_smaller", "options": {"quality": 50}, "weight": -2}}',
        "scales": '{"brightness": [0.5, 0.1], "sizes": [-2, 0.5]}',
    },
    "product": {"parts": '["brightness", "contrast"]'},
    "min": {"parts": '["brightness", "darkness"]', "standardise": "false"},
    "front": {"parts": '["brightness", "contrast"]', "scales": '{"brightness": [0.5, 0.1], "contrast": [0.2, 0.1]}'},
    "constrained": {"reward": "jpeg_smaller", "require": "contrast >= 0.05", "scales": '{"contrast": [0.2, 0.1]}'},
    "command": {"command": "sh -c 'wc -c < \"$1\"' sh {image}"},
}

ELSEWHERE = {  # those that need weights, a server or somebody; their own tests hold them to the same
    *("clip_score", "pick_score", "aesthetic", "hps", "image_reward"),
    *("hpsv3", "vqa_score", "vqa_score_vlm", "aesthetic_v2_5", "unified_reward"),
    *("http", "vlm", "vlm_batch", "vlm_compare", "human"),
}


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
    @pytest.mark.parametrize("law", REWARD_LAWS)
    def test_keeps_the_law(self, reward, law):
        REWARD_LAWS[law](reward, pictures(5), PROMPT, 5)

    def test_says_what_it_is(self, name, reward):
        assert reward.name == ("jpeg_smaller" if name == "constrained" else name)

    def test_its_settings_make_it_again(self, name, reward):
        assert make_reward(name, reward.settings).identity == reward.identity


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
