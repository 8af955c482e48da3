"""The perceptual distance LPIPS between two images, by its authors' package (Zhang et al. 2018, arXiv:1801.03924)."""

import importlib
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.errors import InputError
from zo_dno.failures import one_line

if TYPE_CHECKING:
    from PIL import Image


def lpips_distance(image: "Image.Image", other: "Image.Image") -> float:
    """Compare two RGB images of one size by AlexNet's features; 0 where they are equal."""
    import torch

    pair = [torch.from_numpy(np.array(one)).permute(2, 0, 1)[None] / 255 for one in (image, other)]
    with torch.inference_mode():
        return float(lpips_network()(*pair, normalize=True))  # from [0, 1] to the [-1, 1] that it expects


@cache
def lpips_network() -> Any:
    """Load the network, once a process.

    Raises:
        InputError: The package is not installed, or its weights could not be downloaded.
    """
    import torch

    try:
        with torch.random.fork_rng(devices=[]):  # it initialises weights at random before it loads the trained ones
            return importlib.import_module("lpips").LPIPS(net="alex", verbose=False)
    except (ImportError, OSError, RuntimeError) as error:  # a torchvision made for another torch raises RuntimeError
        raise InputError(
            f"metric must be 'ssim' where LPIPS cannot be loaded; got 'lpips': {one_line(str(error))}. "
            "Install it with: pip install 'zo-dno[lpips]'. Its first use fetches AlexNet from download.pytorch.org."
        ) from error
