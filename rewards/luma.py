"""The luma of an image: the lightness of each displayed pixel."""

import numpy as np
from PIL import Image

WEIGHTS = (299.0, 587.0, 114.0)  # thousandths of red, green and blue (ITU-R BT.601)


def luma(image: Image.Image) -> np.ndarray:
    """Weigh the colours of an image.

    Returns:
        Luma in grey levels, 0 to 255, (H, W) float64, not rounded; grey pixels keep their level exactly.
    """
    levels: np.ndarray = np.asarray(image.convert("RGB"), np.float64) @ np.array(WEIGHTS) / 1000
    return levels
