"""The features of pixels: a coarse picture and the cosine modes of its blocks, differentiable."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

if TYPE_CHECKING:
    import numpy as np

BLOCK = 8
_GRID, _FINE_GRID = 8, 16  # means along each side of the coarse picture
_VISIBLE = 0.04  # amplitude of a cosine mode, in [0, 1] times a block's side: about a step of JPEG's rounding
_SOFTNESS = 0.01  # of the count of visible modes, so that it has a gradient
_LUMA = (0.299, 0.587, 0.114)


def pixel_features(images: Tensor, *, soft: bool = True) -> Tensor:
    """Describe images (n, 3, H, W) in [0, 1] by a coarse picture and the cosine modes of their blocks, (n, 576).

    The modes of 8 x 8 blocks, in brightness and two colour differences at full resolution, decide file size,
    sharpness and texture. The coarse picture shows which colour is where.

    Args:
        images: Images to describe.
        soft: Whether visible modes are counted so that the count has a gradient.
    """
    return torch.cat([adaptive_avg_pool2d(_padded(images), _GRID).flatten(1), mode_features(images, soft=soft)], 1)


def picture_features(images: Tensor) -> Tensor:
    """Describe images (n, 3, H, W) in [0, 1] by a picture of 16 x 16 pixels, (n, 768)."""
    return adaptive_avg_pool2d(images.float(), _FINE_GRID).flatten(1)


def mode_features(images: Tensor, *, soft: bool = True) -> Tensor:
    """Describe images (n, 3, H, W) in [0, 1] by the cosine modes of their blocks, as `pixel_features`, (n, 384)."""
    images, found = _padded(images), []
    light = brightness(images)
    for channel in (light, images[:, 2] - light, images[:, 0] - light):
        modes = _modes(channel)
        found.append((modes.mean(1) + 1e-3).log())
        visible = torch.sigmoid((modes - _VISIBLE) / _SOFTNESS) if soft else (modes > _VISIBLE).float()
        found.append(visible.mean(1))
    return torch.cat(found, 1)


def brightness(images: Tensor) -> Tensor:
    """Return the luma of images (n, 3, H, W), (n, H, W)."""
    light = sum(weight * images[:, colour] for colour, weight in enumerate(_LUMA))
    assert isinstance(light, Tensor)
    return light


def pixel_features_of(image: "np.ndarray") -> "np.ndarray":
    """Describe one image, (H, W, 3) uint8, (576,)."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float() / 255
    return pixel_features(pixels, soft=False)[0].numpy()


def _padded(images: Tensor) -> Tensor:
    """Return images as floats whose sides are multiples of a block's, (n, 3, H', W')."""
    height, width = images.shape[2:]
    return pad(images.float(), (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")


def _modes(channel: Tensor) -> Tensor:
    """Return the amplitudes of the cosine modes of all blocks of (n, H, W), (n, blocks, 64)."""
    n, height, width = channel.shape
    blocks = channel.view(n, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    basis = _cosines().to(channel)
    return (basis @ blocks @ basis.T).abs().reshape(n, -1, BLOCK * BLOCK)


def _cosines() -> Tensor:
    """Return the orthonormal basis of the discrete cosine transform of length 8, (8, 8)."""
    places, modes = torch.arange(BLOCK).float(), torch.arange(BLOCK).float()[:, None]
    basis = torch.cos(math.pi * (2 * places + 1) * modes / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return basis
