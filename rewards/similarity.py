"""The similarity of an image to a reference."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageOps

from zo_dno.errors import InputError
from zo_dno.reward import Reward
from zo_dno.rewards.luma import luma
from zo_dno.rewards.perceptual import lpips_distance, lpips_network
from zo_dno.rewards.ssim import ssim
from zo_dno.storage.images import UnreadableImageError, decoded


@dataclass(frozen=True)
class Similarity(Reward):
    """Likeness to a reference image: SSIM of the luma in [-1, 1], or minus the LPIPS distance.

    The reference is scaled to the image's size, and cropped around its centre where the proportions differ. It is
    identified by its content, not its path, and read once.

    Args:
        reference: File of the reference image.
        metric: Measure of similarity: "ssim" compares structure in place, in images of at least 11x11 pixels (Wang et
            al. 2004); "lpips" compares features of a network, and needs the package `lpips` (Zhang et al. 2018,
            arXiv:1801.03924).
    Raises:
        InputError: The reference cannot be read, or LPIPS is not installed.
    """

    name = "similarity"
    reference: str
    metric: Literal["ssim", "lpips"] = "ssim"

    def __post_init__(self) -> None:
        _ = self._file
        if self.metric == "lpips":
            lpips_network()

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Unit of the metric."""
        return "SSIM" if self.metric == "ssim" else "-LPIPS"

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """Lowest and highest value of the metric."""
        return (-1.0, 1.0) if self.metric == "ssim" else (-math.inf, 0.0)

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and metric, and the sha256 of the reference in place of its path."""
        content = {"reference": hashlib.sha256(self._file).hexdigest()}
        return super().identity | {"settings": {**self.settings, **content}}

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [self._likeness(image.convert("RGB")) for image in images]

    def _likeness(self, image: Image.Image) -> float:
        reference = _fitted(self._file, image.size)
        return -lpips_distance(image, reference) if self.metric == "lpips" else ssim(luma(image), luma(reference))

    @cached_property
    def _file(self) -> bytes:
        try:
            file = Path(self.reference).read_bytes()
            _fitted(file, (1, 1))
        except (OSError, UnreadableImageError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"reference must be an image file; got {self.reference!r}: {reason}.") from error
        return file


@lru_cache(maxsize=8)
def _fitted(file: bytes, size: tuple[int, int]) -> Image.Image:
    """Decode an image file, and bring it to a size (width, height)."""
    return ImageOps.fit(decoded(file), size, Image.Resampling.LANCZOS)
