"""Rewards by trained networks: tiny random ones through the real loading code, against arithmetic written out here."""

import json
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F  # noqa: N812

from tests.support.learning import NAMES, PROMPTS, made, pictures
from tests.support.plain_networks import blip_score, clip_cosines, clip_images, open_clip_cosines, padded_to_square
from tests.support.tiny_models import CONTEXT, head_tensors, image_reward_tensors, open_clip_tensors, save_clip
from zo_dno.errors import InputError
from zo_dno.rewards.aesthetic import Aesthetic
from zo_dno.rewards.clip import ClipScore, load_clip
from zo_dno.rewards.image_reward import load_blip
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.read_weights import read_once
from zo_dno.storage.weights import fingerprint


class TestValues:
    def test_clip_score_is_100_times_the_cosine_above_0(self, models):
        cosines = clip_cosines(models / "clip", pictures(5), PROMPTS)
        assert min(cosines) < 0 < max(cosines)
        expected = [100 * max(cosine, 0) for cosine in cosines]
        assert made("clip_score", models)(pictures(5), PROMPTS) == pytest.approx(expected, abs=1e-4)

    def test_pick_score_is_the_scaled_cosine(self, models):
        expected = np.exp(4.6052) * np.array(clip_cosines(models / "clip", pictures(5), PROMPTS))
        assert made("pick_score", models)(pictures(5), PROMPTS) == pytest.approx(expected, abs=1e-4)

    def test_pick_score_keeps_its_scale_in_low_precision(self, models):
        half = {"dtype": "bfloat16"}
        cosines = np.array(made("clip_score", models, **half)(pictures(5), PROMPTS)) / 100
        expected = np.exp(4.6052) * cosines[cosines > 0]
        assert np.array(made("pick_score", models, **half)(pictures(5), PROMPTS))[cosines > 0] == pytest.approx(
            expected
        )

    def test_aesthetic_is_the_head_of_the_embedding_whatever_the_prompt(self, models):
        embeddings = F.normalize(clip_images(models / "clip", pictures(5)), dim=-1)
        head = head_tensors(16)
        for number in (0, 2, 10):
            embeddings = embeddings @ head[f"layers.{number}.weight"].T + head[f"layers.{number}.bias"]
        reward = made("aesthetic", models)
        assert reward(pictures(5), PROMPTS) == pytest.approx(embeddings[:, 0].tolist(), abs=1e-5)
        assert reward(pictures(5), ["other"] * 5) == reward(pictures(5), PROMPTS)

    def test_hps_is_the_cosine_that_open_clip_computes_of_padded_images(self, models):
        images = [*pictures(3), *pictures(2, (30, 50))]
        padded = [padded_to_square(image) for image in images]
        expected = open_clip_cosines(open_clip_tensors(), padded, PROMPTS)
        assert made("hps", models)(images, PROMPTS) == pytest.approx(expected, abs=1e-5)

    def test_hps_of_a_transformers_folder_pads_too(self, models):
        images = pictures(5, (30, 50))
        expected = clip_cosines(models / "clip", [padded_to_square(image) for image in images], PROMPTS)
        assert made("hps_folder", models)(images, PROMPTS) == pytest.approx(expected, abs=1e-5)

    def test_image_reward_is_what_blip_computes_standardised(self, models):
        images = [*pictures(3), *pictures(2, (40, 70))]
        raw = [blip_score(image_reward_tensors(), *pair) for pair in zip(images, PROMPTS, strict=True)]
        expected = [(value - 0.16717362830052426) / 1.0333394966054072 for value in raw]
        assert made("image_reward", models)(images, PROMPTS) == pytest.approx(expected, abs=1e-4)

    @pytest.mark.parametrize("name", ["clip_score", "hps"])
    def test_a_long_prompt_is_cut_off_at_77_tokens(self, name, models):
        reward, fitting = made(name, models, batch=1), "a " * (CONTEXT - 2)  # beside start and end
        cut, full = reward(pictures(1) * 2, [fitting + "b c d", fitting])
        assert cut == pytest.approx(full, abs=1e-5)
        assert reward(pictures(1), ["b " + fitting])[0] != pytest.approx(full, abs=1e-5)

    def test_image_reward_reads_35_tokens(self, models):
        reward, fitting = made("image_reward", models), "a " * 33  # beside start and end
        cut, full, other = reward(pictures(1) * 3, [fitting + "b c", fitting, fitting[:-2] + "b"])
        assert cut == pytest.approx(full, abs=1e-5)
        assert other != pytest.approx(full, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
class TestEveryLearnedReward:
    def test_a_batch_equals_single_calls_in_any_order(self, name, models):
        reward, images = made(name, models, batch=3), pictures(5)
        together = reward(images, PROMPTS)
        single = [reward([image], [prompt])[0] for image, prompt in zip(images, PROMPTS, strict=True)]
        assert together == pytest.approx(single, abs=1e-4 if reward.unit != "cosine" else 1e-5)
        assert reward(images[::-1], PROMPTS[::-1]) == pytest.approx(together[::-1], abs=1e-4)
        assert len(set(together)) > 2
        assert reward([], []) == []

    def test_is_repeatable_within_its_range_and_touches_nothing(self, name, models):
        images, state = pictures(2), torch.get_rng_state()
        before = [image.tobytes() for image in images]
        reward = made(name, models)
        first = reward(images, PROMPTS[:2])
        assert reward(images, PROMPTS[:2]) == first
        assert all(reward.range[0] <= value <= reward.range[1] for value in first)
        assert [image.tobytes() for image in images] == before
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    def test_lower_precision_stays_near(self, name, dtype, models):
        full, low = (made(name, models, dtype=one)(pictures(5), PROMPTS) for one in ("float32", dtype))
        assert np.corrcoef(full, low)[0, 1] > 0.99
        assert full != low

    def test_images_of_other_modes_are_read_as_rgb(self, name, models):
        grey = pictures(1)[0].convert("L")
        reward = made(name, models)
        assert reward([grey], ["a"]) == reward([grey.convert("RGB")], ["a"])
        assert reward([pictures(1)[0].convert("RGBA")], ["a"]) == reward(pictures(1), ["a"])

    def test_says_what_it_is_and_travels(self, name, models):
        reward = made(name, models)
        assert reward.name == name.removesuffix("_folder")
        assert reward.unit
        copy = pickle.loads(pickle.dumps(reward))
        assert copy == reward
        assert copy.identity == reward.identity
        assert len(pickle.dumps(reward)) < 1000
        json.dumps(reward.identity)

    def test_its_settings_make_it_again(self, name, models):
        reward = made(name, models, batch=4, dtype="bfloat16")
        module = f"{type(reward).__module__}:{type(reward).__qualname__}"
        assert make_reward(module, reward.settings) == reward
        assert make_reward(module, {**reward.settings, "batch": "4"}) == reward

    def test_batch_and_device_are_not_its_identity_but_dtype_is(self, name, models):
        identity = made(name, models).identity
        assert made(name, models, batch=1, device="cpu").identity == identity
        assert made(name, models, dtype="bfloat16").identity != identity

    def test_a_wrong_option_is_refused(self, name, models):
        with pytest.raises(InputError, match=r"batch must be at least 1; got 0\."):
            made(name, models, batch=0)
        with pytest.raises(InputError, match=r"dtype must be one of float32, bfloat16, float16; got 'int8'\."):
            made(name, models, dtype="int8")
        with pytest.raises(InputError, match=r"device must be one that torch can use here; got 'nowhere': "):
            made(name, models, device="nowhere")(pictures(1), ["a"])


class TestIdentity:
    def test_other_weights_under_the_same_path_are_another_reward(self, models, tmp_path):
        folder = tmp_path / "clip"
        shutil.copytree(models / "clip", folder)
        before = ClipScore(str(folder)).identity
        tensors = load_file(folder / "model.safetensors")
        tensors["visual_projection.weight"][3, 5] += 1e-3
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        fingerprint.cache_clear()  # as in another process
        assert ClipScore(str(folder)).identity != before

    def test_the_same_weights_elsewhere_are_the_same_reward(self, models, tmp_path):
        shutil.copytree(models / "clip", tmp_path / "moved")
        (tmp_path / "moved" / "README.md").write_text("what is not read does not count")
        assert ClipScore(str(tmp_path / "moved")).identity == ClipScore(str(models / "clip")).identity

    def test_the_head_counts_and_the_prompts_that_it_is_asked_do_not(self, models, tmp_path):
        save_file(head_tensors(16, seed=1), tmp_path / "head.safetensors")
        other = Aesthetic(str(models / "clip"), head=str(tmp_path / "head.safetensors"))
        assert other.identity != made("aesthetic", models).identity

    def test_the_same_relative_path_from_another_folder_is_another_place(self, tmp_path, monkeypatch):
        identities = []
        for seed in (0, 1):
            save_clip(tmp_path / str(seed) / "clip", seed)
            monkeypatch.chdir(tmp_path / str(seed))
            identities.append(ClipScore("clip").identity)
        assert identities[0] != identities[1]

    @pytest.mark.parametrize("changed", [0, 2**24 + 10, -1, 7 * 2**20])
    def test_of_a_large_file_evenly_spaced_pieces_are_read(self, changed, tmp_path):
        content = np.zeros(2**24 + 2**20, dtype=np.uint8)
        content.tofile(tmp_path / "a.pt")
        content[changed : changed + 20_000 if changed >= 0 else None] = 1  # as a changed matrix, not as a changed bias
        content.tofile(tmp_path / "b.pt")
        assert fingerprint(tmp_path / "a.pt") != fingerprint(tmp_path / "b.pt")


class TestLoading:
    def test_is_silent_and_leaves_transformers_as_it_was(self, models, tmp_path, capfd):
        from transformers.utils import logging

        before = logging.get_verbosity(), logging.is_progress_bar_enabled()
        for name in NAMES:
            made(name, models, dtype="bfloat16", device="cpu")(pictures(1), ["a"])
        for load, paths in ((load_clip, ["clip"]), (load_blip, ["image_reward.pt", "bert"])):
            load.__wrapped__(*[models / path for path in paths], "float32", "cpu")
        assert capfd.readouterr() == ("", "")
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before

    def test_happens_once_even_when_threads_ask_together(self) -> None:
        calls, started, asking = [], threading.Barrier(4), threading.Semaphore(0)

        @read_once
        def load(name: str) -> object:
            calls.append(name)
            for _ in range(4):  # until every thread is about to ask
                asking.acquire()
            return object()

        found: list[object] = []

        def ask() -> None:
            started.wait()
            asking.release()
            found.append(load("a"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert calls == ["a"]
        assert len(set(map(id, found))) == 1

    def test_importing_is_light(self):
        modules = ("clip", "hps", "aesthetic", "image_reward", "hpsv3", "vqa_score", "unified_reward", "aesthetic_v2_5")
        code = f"""
import sys
for name in {modules}:
    __import__(f"zo_dno.rewards.{{name}}")
heavy = [name for name in ("torch", "transformers", "huggingface_hub", "safetensors", "PIL") if name in sys.modules]
assert not heavy, heavy
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2]
        )
        assert done.returncode == 0, done.stderr
