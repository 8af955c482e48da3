"""The size of an image as a PNG file, which is lossless."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from zo_dno.rewards.file_size import FileSize


@dataclass(frozen=True)
class PNGLarger(FileSize):
    """Size of the PNG file in kB (1,000 bytes): images full of detail and noise score high.

    Args:
        level: Compression level, 0 (none) to 9 (slowest).
    Raises:
        InputError: `level` is out of range.
    """

    name = "png_larger"
    format = "PNG"
    limits: ClassVar = {"level": (0, 9)}
    level: int = 6

    @property
    def encoder(self) -> Mapping[str, Any]:
        return {"compress_level": self.level}


@dataclass(frozen=True)
class PNGSmaller(PNGLarger):
    """Minus the size of the PNG file in kB (1,000 bytes): flat and regular images score high."""

    name = "png_smaller"
    sign = -1
