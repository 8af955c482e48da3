"""The contrast between light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from zo_dno.reward import Reward
from zo_dno.rewards.luma import WEIGHTS, luma

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Contrast(Reward):
    """RMS contrast: standard deviation of the luma, white being 1, in [0, 0.5] (Peli 1990)."""

    name = "contrast"
    unit = "of white"
    range = (0.0, 0.5)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [float(luma(image).std()) / 255 for image in images]

    def differentiable(self, images: "Tensor", prompts: Sequence[str]) -> "Tensor":
        """The same of images (n, 3, H, W) in [0, 1], but for the rounding of the luma: (n,)."""
        weights = images.new_tensor(WEIGHTS)[:, None, None] / 1000
        return (images * weights).sum(1).flatten(1).std(1, correction=0)
