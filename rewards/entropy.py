"""The entropy of an image's grey levels."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from zo_dno.reward import Reward


@dataclass(frozen=True)
class Entropy(Reward):
    """Shannon entropy of the luma's histogram of 256 grey levels, in [0, 8] bits; positions do not count."""

    name = "entropy"
    unit = "bits"
    range = (0.0, 8.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [abs(image.convert("L").entropy()) for image in images]  # a single level gives -0.0
