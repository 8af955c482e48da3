"""BRISQUE, a quality without a reference picture (Mittal et al. 2012), as a reward; imports nothing of zo-dno."""

import numpy as np
from brisque import BRISQUE

MODEL = BRISQUE(url=False)


def naturalness(images, prompts):
    """Return minus BRISQUE, whose 0 is the best picture."""
    return [-float(np.squeeze(MODEL.score(np.asarray(image)))) for image in images]


naturalness.unit = "-BRISQUE"
naturalness.version = "brisque 0.2.0"
naturalness.batch = 8
