"""Images as arrays: their check, their names by content, and their files."""

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
    """Check that a generator returned n images, and return them as (n, H, W, 3) uint8.

    Raises:
        InputError: The generator returned something else.
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
    """Return the name of an image (H, W, 3) uint8: the sha256 of its size and pixels, in hexadecimal."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def noise_hash(z: "Tensor") -> str:
    """Return the name of noise: the sha256 of its bits, in hexadecimal."""
    return hashlib.sha256(z.detach().cpu().contiguous().numpy().data).hexdigest()


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W, 3) uint8, with fast rather than strong compression."""
    from PIL import Image

    Image.fromarray(image).save(path, "PNG", compress_level=1)


def png_bytes(image: "Image.Image") -> bytes:
    """Return an image as a PNG file, with fast rather than strong compression."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return file.getvalue()


def read_png(path: Path) -> np.ndarray:
    """Read an image as (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
