"""Asking a reward reliably: whatever it does, every image gets a score or a reason why it has none."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zo_dno.types import Score, slices

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


class Oracle:
    """Asks a reward in this process."""

    def __init__(self, reward: "Reward") -> None:
        self.reward = reward

    def ask(self, images: "np.ndarray", prompts: Sequence[str]) -> list[Score]:
        """Score images (n, H, W, 3) uint8, each drawn for the prompt in the same place."""
        return ask(self.reward, images, prompts)

    def close(self) -> None:
        """Let go of what asking needed."""


def ask(reward: "Reward", images: "np.ndarray", prompts: Sequence[str]) -> list[Score]:
    """Score images (n, H, W, 3) uint8 in calls of at most `reward.batch`. A call that fails loses its own images."""
    return [score for rows in slices(len(images), reward.batch) for score in _call(reward, images[rows], prompts[rows])]


def _call(reward: "Reward", images: "np.ndarray", prompts: Sequence[str]) -> Iterator[Score]:
    from PIL import Image

    started = time.perf_counter()
    try:
        answers = reward([Image.fromarray(image) for image in images], prompts)
        if len(answers) != len(images):
            raise ValueError(f"{len(answers)} scores for {len(images)} images")
        scores = [_checked(answer, reward.range) for answer in answers]
    except Exception as error:  # a reward is anybody's code: its failure costs these queries, never the run
        scores = [Score(math.nan, error=f"{type(error).__name__}: {error}")] * len(images)
    seconds = (time.perf_counter() - started) / len(images)
    for score in scores:
        yield Score(score.value, score.error, score.seconds or seconds, score.cost or reward.price, score.raw)


def _checked(answer: Any, valid: tuple[float, float]) -> Score:
    score = answer if isinstance(answer, Score) else Score(float(answer))
    if score.missing:
        return Score(math.nan, score.error or "the reward returned NaN", score.seconds, score.cost, score.raw)
    low, high = valid
    if not (low <= score.value <= high and math.isfinite(score.value)):
        error = f"the reward returned {score.value}, outside {low} to {high}"
        return Score(math.nan, error, score.seconds, score.cost, score.raw or repr(score.value))
    return score
