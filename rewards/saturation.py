"""The purity of an image's colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zo_dno.reward import Reward

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Saturation(Reward):
    """Mean HSV saturation, (max - min) / max of red, green and blue, in [0, 1]; black counts 0."""

    name = "saturation"
    unit = "of pure colour"
    range = (0.0, 1.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [_saturation(np.asarray(image.convert("RGB"), np.float64)) for image in images]

    def differentiable(self, images: "Tensor", prompts: Sequence[str]) -> "Tensor":
        """The same of images (n, 3, H, W) in [0, 1]: (n,)."""
        most, least = images.amax(1), images.amin(1)
        return ((most - least) / most.clamp_min(1 / 255)).flatten(1).mean(1)


def _saturation(colours: np.ndarray) -> float:
    most, least = colours.max(axis=2), colours.min(axis=2)
    return float(((most - least) / np.maximum(most, 1)).mean())  # the least level above black is 1
