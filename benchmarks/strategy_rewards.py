"""Rewards of the benchmark of strategies: sizes of files, what pixels show, words of the scene judge, a noisy judge."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.reward import Reward
from zo_dno.rng import stream
from zo_dno.storage.images import image_hash, write_png

NOISY_JUDGE, PHOTO = "noisy_judge", "photo"
REWARDS = ("jpeg_smaller", "jpeg_larger", NOISY_JUDGE)
WORDS = ("time=dawn", "time=dusk", "time=night", "weather=cloudy", "weather=snowy", "object=tower")
"""Rewards too: the log-odds with which the scene judge reads a word; not run for a prompt that asks for the word."""
OTHERS = (*WORDS, "symmetry", "colourfulness", PHOTO, NOISY_JUDGE)
"""All rewards but file sizes."""
FREE = ("jpeg_smaller", "jpeg_larger", "symmetry", "colourfulness", PHOTO)
"""Rewards whose queries cost nothing but time; the judges stand for people and models that are paid."""
PHOTO_PROMPT = "hills at day, cloudy, with a tent"
"""Prompt of the picture that `photo` compares with; no run has it."""


class NoisyJudge:
    """Rates warmth from 1 to 5, in a mood of its own every time that it is asked.

    Prior draws of the prompt are 3 on average, and 0.7 apart, as far apart as the moods.

    Args:
        seed: Seed of the moods.
        usual: Mean and standard deviation of warmth among prior draws.
    Attributes:
        truth: Mean of its scores if its scale had no ends, by the hash of the image.
    """

    noisy, unit = True, "points of 5"

    def __init__(self, seed: int, usual: tuple[float, float]) -> None:
        self._usual = usual
        self._moods = np.random.default_rng([seed, 5])
        self.truth: dict[str, float] = {}

    def __call__(self, images: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        scores = []
        for image in images:
            pixels = np.asarray(image)
            truth = 3 + 0.7 * (warmth(pixels) - self._usual[0]) / self._usual[1]
            self.truth[image_hash(pixels)] = truth
            scores.append(float(np.clip(np.round(truth + 0.7 * self._moods.normal()), 1, 5)))
        return scores


class Word:
    """Rates how sure the scene judge is to read a word in the picture, in log-odds.

    Args:
        name: Attribute and word, such as "time=night".
    """

    unit, version = "log-odds", "1"

    def __init__(self, name: str) -> None:
        from zo_dno.scenes.grammar import WORDS as KNOWN
        from zo_dno.scenes.judge import Judge

        self._attribute, _, word = name.partition("=")
        self._column, self._judge = KNOWN[self._attribute].index(word), Judge.load()

    def __call__(self, images: Sequence[Any], prompts: Sequence[str]) -> list[float]:
        p = self._judge.probabilities(images)[self._attribute][:, self._column].clamp(1e-9, 1 - 1e-9)
        return [float(value) for value in (p / (1 - p)).log()]


def asked_for(reward: str, prompt: str) -> bool:
    """Return whether a prompt asks for the word of a reward."""
    from zo_dno.scenes.grammar import parse

    attribute, _, word = reward.partition("=")
    return bool(word) and getattr(parse(prompt), attribute) == word


def warmth(pixels: np.ndarray) -> float:
    """Return how much brighter red is than blue in an image (H, W, 3) uint8, in [-1, 1]."""
    return float(pixels[..., 0].mean() - pixels[..., 2].mean()) / 255


def noisy(judge: NoisyJudge) -> FunctionReward:
    """Return a noisy judge as a reward whose best images are scored again."""
    made = FunctionReward(judge, NOISY_JUDGE)
    made.noisy, made.range = True, (1.0, 5.0)
    return made


def reward_named(name: str) -> Reward | str:
    """Return what `zo_dno.optimize` takes as the reward of a name; the noisy judge is made for each run."""
    if name == PHOTO:
        return photo()
    return FunctionReward(Word(name), name) if "=" in name else name


@cache
def photo() -> Reward:
    """Return the likeness (SSIM) to `picture`, the same for all runs."""
    from zo_dno.rewards.similarity import Similarity

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "photo.png")
        write_png(file, picture())
        return Similarity(str(file))  # which reads the file at once, and never again


@cache
def picture() -> np.ndarray:
    """Return a prior draw of `PHOTO_PROMPT`, (H, W, 3) uint8."""
    import torch

    from zo_dno.generators.diffusers_generator import DiffusersGenerator

    generator = DiffusersGenerator.builtin(PHOTO_PROMPT, model="scenes-64")
    z = torch.randn(1, generator.layout.d, generator=stream(0, PHOTO))
    return generator(z)[0].numpy()
