"""The base of rewards for the size of an image file."""

import io
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image

from zo_dno.errors import InputError
from zo_dno.reward import Reward


class FileSize(Reward):
    """Size in kB (1,000 bytes) of the file that Pillow writes of an image.

    Attributes:
        format: Pillow's name of the file format.
        limits: Smallest and largest value of each option.
        sign: 1 where large files score high, -1 where small ones do.
    """

    unit = "kB"
    format: ClassVar[str]
    limits: ClassVar[Mapping[str, tuple[int, int]]]
    sign: ClassVar[int] = 1

    def __post_init__(self) -> None:
        for option, (least, most) in self.limits.items():
            value = getattr(self, option)
            if not least <= value <= most:
                raise InputError(f"{option} must be {least} to {most}; got {value}.")

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """Range of the scores: a file's size is above 0."""
        return (0.0, math.inf) if self.sign > 0 else (-math.inf, 0.0)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [self.sign * self._kilobytes(image) for image in images]

    @property
    @abstractmethod
    def encoder(self) -> Mapping[str, Any]:
        """Options of Pillow's encoder."""
        ...

    def _kilobytes(self, image: Image.Image) -> float:
        file = io.BytesIO()
        image.save(file, self.format, **self.encoder)
        return file.tell() / 1000
