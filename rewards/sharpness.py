"""The sharpness of an image's edges."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from zo_dno.reward import Reward
from zo_dno.rewards.luma import luma


@dataclass(frozen=True)
class Sharpness(Reward):
    """Variance of the Laplacian of the luma, in squared grey levels (Pech-Pacheco et al. 2000).

    The Laplacian is that of the four neighbours; the image is mirrored at its borders. Noise counts as sharp, too.
    """

    name = "sharpness"
    unit = "grey levels^2"
    range = (0.0, math.inf)

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        from scipy.ndimage import laplace

        return [float(laplace(luma(image)).var()) for image in images]
