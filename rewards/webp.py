"""The size of an image as a WebP file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zo_dno.rewards.file_size import FileSize


@dataclass(frozen=True)
class WebPLarger(FileSize):
    """Size of the WebP file in kB (1,000 bytes): images full of detail score high.

    Args:
        quality: Quality of the WebP encoder, 0 to 100; for a lossless file, effort of the compression.
        lossless: Whether every pixel is kept; otherwise WebP subsamples colours 4:2:0, the only mode that it has.
        method: Method of the encoder, 0 (fastest) to 6 (smallest file).
    Raises:
        InputError: `quality` or `method` is out of range.
    """

    name = "webp_larger"
    format = "WEBP"
    limits: ClassVar = {"quality": (0, 100), "method": (0, 6)}
    quality: int = 80
    lossless: bool = False
    method: int = 4

    @property
    def encoder(self) -> Mapping[str, Any]:
        return {"quality": self.quality, "lossless": self.lossless, "method": self.method}


@dataclass(frozen=True)
class WebPSmaller(WebPLarger):
    """Minus the size of the WebP file in kB (1,000 bytes): images that compress well score high."""

    name = "webp_smaller"
    sign = -1
