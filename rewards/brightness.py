"""How bright the displayed image is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zo_dno.reward import Reward


@dataclass(frozen=True)
class Brightness(Reward):
    """Mean of all pixels and colours of the displayed image, in [0, 1]."""

    name = "brightness"
    unit = "of white"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [float(np.asarray(image).mean()) / 255 for image in images]


@dataclass(frozen=True)
class Darkness(Reward):
    """One minus the brightness of the displayed image, in [0, 1]."""

    name = "darkness"
    unit = "of black"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [1 - value for value in Brightness()(images, prompts)]
