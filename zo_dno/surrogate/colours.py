"""The features of colours: their quantiles in the whole image and in horizontal bands of it, differentiable."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, pad

from zo_dno.surrogate.pixels import brightness

_SIDE = 32  # pixels; larger images are averaged to it first, since a quantile needs no more
_BANDS = 8
_LEVELS = (0.1, 0.5, 0.9)
_FINE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def colour_quantiles(images: Tensor) -> Tensor:
    """Describe images (n, 3, H, W) in [0, 1] by quantiles of brightness, colourfulness and colour differences, (n, 20).

    Colourfulness is the largest minus the smallest of the three colours, the differences are those of blue and red to
    the brightness.
    """
    images = _small(images)
    light = brightness(images)
    colourfulness = images.amax(1) - images.amin(1)
    channels = torch.stack([light, colourfulness, images[:, 2] - light, images[:, 0] - light], 1)
    return _quantiles(channels.flatten(2), _FINE_LEVELS)


def band_quantiles(images: Tensor) -> Tensor:
    """Describe images (n, 3, H, W) in [0, 1] by quantiles of each colour in 8 horizontal bands, (n, 72).

    What is high and what is low in a picture, such as sky and ground, differs more than left and right.
    """
    images = _small(images)
    images = pad(images, (0, 0, 0, -images.shape[2] % _BANDS), mode="replicate")
    return _quantiles(images.unflatten(2, (_BANDS, -1)).flatten(3), _LEVELS)


def _small(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    return adaptive_avg_pool2d(images.float(), (min(height, _SIDE), min(width, _SIDE)))


def _quantiles(values: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Return quantiles along the last axis of (n, ..., k), interpolated linearly, (n, ... * levels).

    As `torch.quantile`, which takes several times as long.
    """
    ordered, last = values.sort(dim=-1).values, values.shape[-1] - 1
    places = values.new_tensor(levels) * last
    below = places.long()
    share = places - below
    low, high = (ordered.index_select(-1, place) for place in (below, (below + 1).clamp_max(last)))
    return (low + share * (high - low)).flatten(1)
