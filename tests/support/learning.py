"""Rewards by tiny random networks, and what they are asked."""

from pathlib import Path

import numpy as np
from PIL import Image

from zo_dno.rewards.aesthetic import Aesthetic
from zo_dno.rewards.clip import ClipScore, PickScore
from zo_dno.rewards.hps import HPS
from zo_dno.rewards.image_reward import ImageReward

PROMPTS = ["a cat", "dogs on ice", "a cat", "x", ""]
NAMES = ["clip_score", "pick_score", "aesthetic", "hps", "hps_folder", "image_reward"]


def pictures(n: int, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    small = np.random.default_rng(0).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize(size, Image.Resampling.BICUBIC) for one in small]


def made(name: str, models: Path, **options):
    clip, base = str(models / "clip"), str(models / "base")
    makers = {
        "clip_score": lambda: ClipScore(clip, **options),
        "pick_score": lambda: PickScore(clip, **options),
        "aesthetic": lambda: Aesthetic(clip, head=str(models / "head.pth"), **options),
        "hps": lambda: HPS(str(models / "hps.pt"), base=base, **options),
        "hps_folder": lambda: HPS(clip, **options),
        "image_reward": lambda: ImageReward(str(models / "image_reward.pt"), tokenizer=str(models / "bert"), **options),
    }
    return makers[name]()
