"""Weights of learned rewards that are not here or cannot be read, and where downloaded ones are found."""

import contextlib
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.learning import PROMPTS, made, pictures
from tests.support.tiny_models import head_tensors, image_reward_tensors, open_clip_tensors
from zo_dno.errors import InputError
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.aesthetic import Aesthetic
from zo_dno.rewards.clip import ClipScore, PickScore
from zo_dno.rewards.hps import HPS
from zo_dno.rewards.image_reward import ImageReward


class TestWeightsThatAreNotHere:
    @pytest.fixture(autouse=True)
    def empty_cache(self, monkeypatch, tmp_path):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch):
        def refuse(*_):
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    @pytest.mark.parametrize(
        ("reward", "option", "place", "command"),
        [
            (ClipScore(), "model", "openai/clip-vit-large-patch14", "safetensors"),
            (PickScore(), "model", "yuvalkirstain/PickScore_v1", "safetensors"),
            (Aesthetic(), "model", "openai/clip-vit-large-patch14", "safetensors"),
            (HPS(), "model", "xswu/HPSv2/HPS_v2.1_compressed.pt", "xswu/HPSv2 HPS_v2.1_compressed.pt"),
            (ImageReward(), "model", "zai-org/ImageReward/ImageReward.pt", "zai-org/ImageReward ImageReward.pt"),
        ],
    )
    def test_the_message_names_the_command(self, reward, option, place, command):
        if command == "safetensors":
            command = f'{place} --include "*.json" --include "*.txt" --include "*.safetensors"'
        message = f" that was downloaded; got '{place}', which is not here. Get it: hf download {command}"
        for ask in (lambda: Oracle(reward), lambda: reward(pictures(1), ["a"])):
            with pytest.raises(InputError) as caught:
                ask()
            assert str(caught.value).startswith(f"{option} of {reward.name} must be a")
            assert str(caught.value).endswith(message)

    def test_the_second_half_is_asked_for_too(self, models):
        with pytest.raises(
            InputError, match=r"head of aesthetic must .* hf download trl-lib/ddpo-aesthetic-predictor aesthetic-mo"
        ):
            _ = Aesthetic(str(models / "clip")).identity
        with pytest.raises(
            InputError, match=r'base of hps must .* hf download laion/\S+ --include "\*.json" --include "\*.txt"$'
        ):
            _ = HPS(str(models / "hps.pt")).identity
        with pytest.raises(
            InputError, match=r"tokenizer of image_reward must .* hf download google-bert/bert-base-uncased --include"
        ):
            _ = ImageReward(str(models / "image_reward.pt")).identity

    @pytest.mark.parametrize("place", ["/no/such/folder", "./models/clip", "one", "../a/b", "", "a/b/../c.pt", "a/b/"])
    def test_what_cannot_be_on_the_hub_is_a_path(self, place):
        for reward in (ClipScore(place), Aesthetic(place), HPS(place), ImageReward(place)):
            with pytest.raises(InputError, match="must be"):
                _ = reward.identity
        with pytest.raises(InputError, match=r"got '/no/such.pt', which is not here\. There is no such path\.$"):
            _ = ImageReward("/no/such.pt").identity

    def test_the_command_is_one_that_hf_understands(self, monkeypatch):
        from huggingface_hub.cli import download

        asked = {}
        monkeypatch.setattr(download, "snapshot_download", lambda **given: asked.update(given) or "/there")
        with pytest.raises(InputError) as caught:
            _ = ClipScore().identity
        command = str(caught.value).partition("Get it: ")[2].replace('"', "").split()
        assert command[:2] == ["hf", "download"]
        run_hf(command[1:])
        assert asked["repo_id"] == "openai/clip-vit-large-patch14"
        assert asked["allow_patterns"] == ["*.json", "*.txt", "*.safetensors"]

    def test_what_was_downloaded_is_found(self, models, tmp_path):
        for owner, name, source in (("some", "clip", models / "clip"), ("some", "bert", models / "bert")):
            shutil.copytree(source, in_cache(tmp_path / "cache", owner, name))
        for name, file in (("hps", "hps.pt"), ("ir", "image_reward.pt"), ("head", "deep/er/head.pth")):
            target = in_cache(tmp_path / "cache", "some", name) / file
            target.parent.mkdir(parents=True)
            shutil.copy(models / Path(file).name, target)
        pairs = [
            (ClipScore("some/clip"), "clip_score"),
            (Aesthetic("some/clip", head="some/head/deep/er/head.pth"), "aesthetic"),
            (HPS("some/hps/hps.pt", base=str(models / "base")), "hps"),
            (HPS("some/clip"), "hps_folder"),
            (ImageReward("some/ir/image_reward.pt", tokenizer="some/bert"), "image_reward"),
        ]
        for reward, name in pairs:
            same = made(name, models)
            assert reward(pictures(5), PROMPTS) == same(pictures(5), PROMPTS)
            assert reward.identity["settings"]["model"] == same.identity["settings"]["model"]

    def test_half_a_download_is_told(self, models, tmp_path):
        shutil.copytree(models / "clip", folder := in_cache(tmp_path / "cache", "some", "clip"))
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to("../../blobs/lost")
        with pytest.raises(
            InputError, match=r"has no model.safetensors or model-\*.safetensors\. Get it: hf download some/clip"
        ):
            _ = ClipScore("some/clip").identity


class TestWeightsThatCannotBeRead:
    @pytest.fixture
    def folder(self, models, tmp_path) -> Path:
        shutil.copytree(models / "clip", tmp_path / "clip")
        return tmp_path / "clip"

    @pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json", "processor_config.json"])
    def test_a_folder_without_a_file(self, folder, lost):
        (folder / lost).unlink()
        (folder / "pytorch_model.bin").write_bytes(b"a pickle is never looked at")
        with pytest.raises(
            InputError,
            match=rf"model of clip_score must be a whole model; got '{folder}', which has no .*{lost}.*save_pre",
        ):
            ClipScore(str(folder))(pictures(1), ["a"])

    def test_broken_safetensors(self, folder):
        whole = (folder / "model.safetensors").read_bytes()
        for broken in (whole[: len(whole) // 2], b"", os.urandom(1000)):
            (folder / "model.safetensors").write_bytes(broken)
            load_error(
                lambda: ClipScore(str(folder))(pictures(1), ["a"]), f"model must be .*; got {folder}: Safetensor"
            )

    def test_a_pickle_beside_safetensors_is_not_read_in_their_place(self, folder):
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")  # a part without an index
        load_error(lambda: ClipScore(str(folder))(pictures(1), ["a"]), "model must be weights that can be read; got ")

    @pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "processor_config.json"])
    def test_broken_json(self, folder, file):
        (folder / file).write_text("{")
        load_error(lambda: ClipScore(str(folder))(pictures(1), ["a"]), f"model must be .* got {folder}: ")

    def test_another_kind_of_model(self, folder):
        config = json.loads((folder / "config.json").read_text()) | {"model_type": "siglip"}
        (folder / "config.json").write_text(json.dumps(config))
        load_error(lambda: ClipScore(str(folder))(pictures(1), ["a"]), "it is a model of type 'siglip', not 'clip'")

    def test_half_a_model_is_not_filled_up_at_random(self, folder, models, tmp_path):
        tensors = load_file(folder / "model.safetensors")
        del tensors["visual_projection.weight"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        lost = "1 weights are missing, such as visual_projection.weight"
        load_error(lambda: ClipScore(str(folder))(pictures(1), ["a"]), lost)
        tensors = open_clip_tensors()
        del tensors["visual.proj"]
        torch.save(tensors, tmp_path / "hps.pt")
        load_error(lambda: HPS(str(tmp_path / "hps.pt"), base=str(models / "base"))(pictures(1), ["a"]), lost)
        tensors = image_reward_tensors()
        del tensors["blip.text_encoder.encoder.layer.1.crossattention.self.query.bias"]
        torch.save(tensors, tmp_path / "ir.pt")
        reward = ImageReward(str(tmp_path / "ir.pt"), tokenizer=str(models / "bert"))
        load_error(lambda: reward(pictures(1), ["a"]), "such as encoder.layer.1.crossattention.self.query.bias")

    def test_a_base_of_other_shape(self, models, tmp_path):
        save_file({**open_clip_tensors(), "visual.proj": torch.zeros(32, 8)}, tmp_path / "hps.safetensors")
        reward = HPS(str(tmp_path / "hps.safetensors"), base=str(models / "base"))
        load_error(lambda: reward(pictures(1), ["a"]), f"model must be .* got {tmp_path}/hps.safetensors: ")

    def test_pickled_code_is_not_run(self, models, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "was-run"),)

        for file in ("hps.pt", "ir.pt", "head.pth"):
            torch.save({"state_dict": {}, "evil": Evil()}, tmp_path / file)
        for reward in (
            HPS(str(tmp_path / "hps.pt"), base=str(models / "base")),
            ImageReward(str(tmp_path / "ir.pt"), tokenizer=str(models / "bert")),
            Aesthetic(str(models / "clip"), head=str(tmp_path / "head.pth")),
        ):
            load_error(lambda: reward(pictures(1), ["a"]), "UnpicklingError")  # noqa: B023
        assert not (tmp_path / "was-run").exists()

    @pytest.mark.parametrize(
        ("tensors", "reason"),
        [
            ({"weight": torch.zeros(1, 16)}, "must be linear layers"),
            ({"layers.0.weight": torch.zeros(1, 16)}, "layers.0.bias"),
            ({"layers.0.weight": torch.zeros(3, 16), "layers.0.bias": torch.zeros(3)}, r"widths \[3\]"),
        ],
    )
    def test_a_head_that_is_none(self, tensors, reason, models, tmp_path):
        save_file(tensors, tmp_path / "head.safetensors")
        reward = Aesthetic(str(models / "clip"), head=str(tmp_path / "head.safetensors"))
        load_error(lambda: reward(pictures(1), ["a"]), f"head must be weights that can be read; .*{reason}")

    def test_a_head_for_another_model(self, models, tmp_path):
        save_file(head_tensors(20), tmp_path / "head.safetensors")
        reward = Aesthetic(str(models / "clip"), head=str(tmp_path / "head.safetensors"))
        with pytest.raises(InputError, match=r"head must take embeddings of 16 numbers.*; got one that takes 20\."):
            reward(pictures(1), ["a"])

    def test_a_folder_must_have_one_head(self, models, tmp_path):
        (tmp_path / "heads").mkdir()
        reward = Aesthetic(str(models / "clip"), head=str(tmp_path / "heads"))
        with pytest.raises(
            InputError, match=r"head of aesthetic must be a file, or a folder with exactly one of .* with 0\. Name"
        ):
            reward(pictures(1), ["a"])
        shutil.copy(models / "head.pth", tmp_path / "heads")
        assert reward(pictures(2), ["a"] * 2) == made("aesthetic", models)(pictures(2), ["a"] * 2)


def load_error(ask, match: str) -> None:
    """Expect one readable line."""
    with pytest.raises(InputError, match=match) as caught:
        ask()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def in_cache(cache: Path, owner: str, name: str) -> Path:
    """Make the hub's cache know a repository; return where its files lie."""
    repository = cache / f"models--{owner}--{name}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee")
    (repository / "snapshots").mkdir()
    return repository / "snapshots" / "c0ffee"


def run_hf(arguments: list[str]) -> None:
    """Run huggingface_hub's command line in this process."""
    from huggingface_hub.cli import hf

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["hf", *arguments])
        with contextlib.suppress(SystemExit):
            hf.main()
