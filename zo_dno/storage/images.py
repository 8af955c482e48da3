"""Images as arrays: their check, their names by content, and their files."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import one_line

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

MOST_PIXELS = 2**26
"""Pixels of an image file that is decoded, 8,192 x 8,192."""


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


def array_hash(array: np.ndarray) -> str:
    """Return the name of an array: the sha256 of its type, shape and numbers, in hexadecimal."""
    return hashlib.sha256(repr((array.dtype.str, array.shape)).encode() + array.tobytes()).hexdigest()


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
    """Read an image of a run as (H, W, 3) uint8.

    Raises:
        UnreadableImageError: The file is gone, damaged, or no PNG.
    """
    return np.array(decoded(path, formats=("PNG",)))


class UnreadableImageError(ZoDnoError):
    """A file is no image that can be used; the message says why."""


def decoded(file: Path | bytes, *, formats: tuple[str, ...] | None = None) -> "Image.Image":
    """Return an image file that others made as RGB: upright as its EXIF says, on white, with 8 bits a colour.

    Args:
        file: Path, or content of the file.
        formats: Pillow's names of the formats that are allowed; by default all.
    Raises:
        UnreadableImageError: It is no such image.
    """
    with _opened(file, formats) as image:
        if image.width * image.height > MOST_PIXELS:
            raise UnreadableImageError(f"it has {image.width}x{image.height} pixels; at most {MOST_PIXELS} are decoded")
        return _rgb(image)


@contextmanager
def _opened(file: Path | bytes, formats: tuple[str, ...] | None) -> "Iterator[Image.Image]":
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=formats) as image:
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(f"it is no {' or '.join(formats or ()) or 'image'}") from error
    except Exception as error:  # Pillow's decoders raise almost anything at damaged files
        reason = getattr(error, "strerror", None) or one_line(f"{type(error).__name__}: {error}", 200)
        raise UnreadableImageError(f"it cannot be read: {reason}") from error


def _rgb(image: "Image.Image") -> "Image.Image":
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # grey with 16 bits, which Pillow would cut at 255
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise UnreadableImageError(f"its grey levels are {levels.min()} to {levels.max()}; use 8 or 16 bits")
        return Image.fromarray((levels / 257).round().astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UnreadableImageError("its grey levels are floats; use 8 or 16 bits")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return image.convert("RGB")
