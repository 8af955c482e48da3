"""The size of an image as an AVIF file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from zo_dno.rewards.file_size import FileSize


@dataclass(frozen=True)
class AVIFLarger(FileSize):
    """Size of the AVIF file in kB (1,000 bytes): images full of detail score high.

    Args:
        quality: Quality of the AVIF encoder (libaom), 0 to 100.
        chroma: Subsampling of the colours.
        speed: Speed of the encoder, 0 (smallest file) to 10 (fastest).
    Raises:
        InputError: `quality` or `speed` is out of range.
    """

    name = "avif_larger"
    format = "AVIF"
    limits: ClassVar = {"quality": (0, 100), "speed": (0, 10)}
    quality: int = 75
    chroma: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"
    speed: int = 6

    @property
    def encoder(self) -> Mapping[str, Any]:
        # The number of threads, by default that of the processors, changes the size; so would another codec.
        fixed = {"codec": "aom", "max_threads": 1, "autotiling": False}
        return {"quality": self.quality, "subsampling": self.chroma, "speed": self.speed, **fixed}


@dataclass(frozen=True)
class AVIFSmaller(AVIFLarger):
    """Minus the size of the AVIF file in kB (1,000 bytes): images that compress well score high."""

    name = "avif_smaller"
    sign = -1
