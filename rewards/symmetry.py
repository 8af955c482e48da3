"""The mirror symmetry of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from zo_dno.reward import Reward

_AXES = {"left-right": 1, "top-bottom": 0}


@dataclass(frozen=True)
class Symmetry(Reward):
    """One minus the mean difference between an image and its mirror image, in [0, 1]: 1 is symmetric.

    Args:
        axis: Sides that the mirror swaps.
    """

    name = "symmetry"
    unit = "of symmetric"
    range = (0.0, 1.0)
    axis: Literal["left-right", "top-bottom"] = "left-right"

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [self._symmetry(np.asarray(image.convert("RGB"), np.float64)) for image in images]

    def _symmetry(self, colours: np.ndarray) -> float:
        return 1 - float(np.abs(colours - np.flip(colours, _AXES[self.axis])).mean()) / 255
