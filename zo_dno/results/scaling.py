"""Images at the size at which people look at them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def scaled(image: "Image.Image", side: int) -> "Image.Image":
    """Return an image whose longer side has `side` pixels: crisp pixels at whole factors, else smooth ones."""
    from PIL import Image

    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    is_whole = factor >= 1 and factor == int(factor)
    return image.resize(size, Image.Resampling.NEAREST if is_whole else Image.Resampling.LANCZOS)
