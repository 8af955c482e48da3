"""How far light and dark are apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from zo_dno.reward import Reward
from zo_dno.rewards.luma import luma


@dataclass(frozen=True)
class Contrast(Reward):
    """RMS contrast: standard deviation of the luma, white being 1, in [0, 0.5] (Peli 1990)."""

    name = "contrast"
    unit = "of white"
    range = (0.0, 0.5)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [float(luma(image).std()) / 255 for image in images]
