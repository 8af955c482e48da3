"""The size of an image as a JPEG file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from zo_dno.rewards.file_size import FileSize


@dataclass(frozen=True)
class JPEGLarger(FileSize):
    """Size of the JPEG file in kB (1,000 bytes): images full of detail score high.

    Args:
        quality: Quality of the JPEG encoder, 1 to 100.
        chroma: Subsampling of the colours.
    Raises:
        InputError: `quality` is out of range.
    """

    name = "jpeg_larger"
    format = "JPEG"
    limits: ClassVar = {"quality": (1, 100)}
    quality: int = 95
    chroma: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"

    @property
    def encoder(self) -> Mapping[str, Any]:
        return {"quality": self.quality, "subsampling": self.chroma}


@dataclass(frozen=True)
class JPEGSmaller(JPEGLarger):
    """Minus the size of the JPEG file in kB (1,000 bytes): images that compress well score high."""

    name = "jpeg_smaller"
    sign = -1
