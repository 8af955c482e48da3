"""Pictures made of patches of colour and of texture."""

import numpy as np


def textures(n: int, seed: int = 0, side: int = 16) -> np.ndarray:
    """Draw images (n, side, side, 3) uint8 that differ in their colours and in how rough they are."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (n, 4, 4, 3))
    rough = rng.normal(0, 1, (n, side, side, 3)) * rng.uniform(0, 40, (n, 1, 1, 1))
    fine = coarse.repeat(side // 4, 1).repeat(side // 4, 2) + rough
    return fine.clip(0, 255).round().astype(np.uint8)
