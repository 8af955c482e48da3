"""The brightness of the displayed image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zo_dno.reward import Reward

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Brightness(Reward):
    """Mean of all pixels and colours of the displayed image, in [0, 1]."""

    name = "brightness"
    unit = "of white"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [float(np.asarray(image).mean()) / 255 for image in images]

    def differentiable(self, images: "Tensor", prompts: Sequence[str]) -> "Tensor":
        """The same of images (n, 3, H, W) in [0, 1]: (n,)."""
        return images.flatten(1).mean(1)


@dataclass(frozen=True)
class Darkness(Reward):
    """One minus the brightness of the displayed image, in [0, 1]."""

    name = "darkness"
    unit = "of black"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [1 - value for value in Brightness()(images, prompts)]

    def differentiable(self, images: "Tensor", prompts: Sequence[str]) -> "Tensor":
        """The same of images (n, 3, H, W) in [0, 1]: (n,)."""
        return 1 - images.flatten(1).mean(1)
