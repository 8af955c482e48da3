"""The colourfulness of an image, as people perceive it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zo_dno.reward import Reward

_MEAN = 0.3  # weight of the mean against the spread; fitted to people's ratings by the paper


@dataclass(frozen=True)
class Colourfulness(Reward):
    """Colourfulness M3: 0 is none, 33 moderate, 109 extreme (Hasler & Suesstrunk 2003)."""

    name = "colourfulness"
    unit = "M3"
    range = (0.0, math.inf)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [_m3(np.asarray(image.convert("RGB"), np.float64)) for image in images]


def _m3(colours: np.ndarray) -> float:
    red, green, blue = np.moveaxis(colours, 2, 0)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    spread = math.hypot(red_green.std(), yellow_blue.std())
    return spread + _MEAN * math.hypot(red_green.mean(), yellow_blue.mean())
