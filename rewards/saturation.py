"""How pure the colours of an image are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zo_dno.reward import Reward


@dataclass(frozen=True)
class Saturation(Reward):
    """Mean HSV saturation, (max - min) / max of red, green and blue, in [0, 1]; black counts 0."""

    name = "saturation"
    unit = "of pure colour"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [_saturation(np.asarray(image.convert("RGB"), np.float64)) for image in images]


def _saturation(colours: np.ndarray) -> float:
    most, least = colours.max(axis=2), colours.min(axis=2)
    return float(((most - least) / np.maximum(most, 1)).mean())  # the least level above black is 1
