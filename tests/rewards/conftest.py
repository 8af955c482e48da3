"""What the tests of rewards share."""

from pathlib import Path

import pytest
import torch

from tests.support.tiny_models import (
    head_tensors,
    image_reward_tensors,
    open_clip_tensors,
    save_bert_tokenizer,
    save_clip,
)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Save all that the rewards read."""
    folder = tmp_path_factory.mktemp("models")
    save_clip(folder / "clip")
    save_clip(folder / "base", seed=9, activation="gelu")  # only its configuration and processors are to be used
    save_bert_tokenizer(folder / "bert")
    torch.save({"epoch": 7, "state_dict": open_clip_tensors()}, folder / "hps.pt")
    torch.save(image_reward_tensors(), folder / "image_reward.pt")
    torch.save(head_tensors(16), folder / "head.pth")
    return folder
