"""Plain and chequered images, and what a reward says of one image."""

import numpy as np
from PIL import Image

from zo_dno.run.make_reward import make_reward


def plain(colour, side=16) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def chequered(side=16) -> Image.Image:
    levels = np.indices((side, side)).sum(axis=0) % 2 * 255
    return Image.fromarray(np.repeat(levels[..., None], 3, axis=2).astype(np.uint8))


def score(name, image, **options):
    (value,) = make_reward(name, options)([image], ["a picture"])
    return value
