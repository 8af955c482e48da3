"""The size of an image as a JPEG file."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from zo_dno.reward import Reward


@dataclass(frozen=True)
class JPEGLarger(Reward):
    """Size of the JPEG file in kB (1,000 bytes): images full of detail score high.

    Args:
        quality: of the JPEG encoder, 1 to 100.
        chroma: subsampling of the colours.
    """

    name = "jpeg_larger"
    unit = "kB"
    sign = 1
    quality: int = 95
    chroma: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [self.sign * self._kilobytes(image) for image in images]

    def _kilobytes(self, image: Image.Image) -> float:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=self.quality, subsampling=self.chroma)
        return file.tell() / 1000


@dataclass(frozen=True)
class JPEGSmaller(JPEGLarger):
    """Minus the size of the JPEG file in kB (1,000 bytes): images that compress well score high."""

    name = "jpeg_smaller"
    sign = -1
