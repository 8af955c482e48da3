"""Images as arrays: checked, named by their content, written and read."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.errors import InputError

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor


def checked_images(images: "Tensor", n: int) -> np.ndarray:
    """Check that a generator returned n images, and hand them on as (n, H, W, 3) uint8.

    Raises:
        InputError: it returned something else.
    """
    import torch

    expected = f"generator must return {n} images as a tensor ({n}, H, W, 3) of uint8"
    if not isinstance(images, torch.Tensor):
        raise InputError(f"{expected}; got {type(images).__name__}. Convert them with torch.from_numpy.")
    if images.dtype != torch.uint8:
        raise InputError(f"{expected}; got {images.dtype}. Scale [0, 1] to 0..255 and round before .to(torch.uint8).")
    if images.ndim != 4 or len(images) != n or images.shape[3] != 3:
        raise InputError(f"{expected}; got {tuple(images.shape)}. Put the colours last.")
    return images.cpu().numpy()


def image_hash(image: np.ndarray) -> str:
    """Name an image (H, W, 3) uint8 by its size and pixels: sha256, in hexadecimal."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def noise_hash(z: "Tensor") -> str:
    """Name noise by its bits: sha256, in hexadecimal."""
    return hashlib.sha256(z.detach().cpu().contiguous().numpy().data).hexdigest()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8, quickly rather than small."""
    from PIL import Image

    Image.fromarray(image).save(path, "PNG", compress_level=1)


def png_bytes(image: "Image.Image") -> bytes:
    """Write an image as a PNG file in memory, quickly rather than small."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return file.getvalue()


def read_png(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
