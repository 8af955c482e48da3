"""What a function returned as images: tensors or arrays, bytes or floats, checked."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.pixels import bytes_of

_ROOM = 1e-3  # outside of [0, 1], for rounding in half precision
IMAGES = "(n, H, W, 3) of uint8, or as (n, 3, H, W) of floats in [0, 1]"


def as_tensor(returned: Any, n: int, name: str, *, arrays: bool) -> Tensor:
    """Return what a function returned as a tensor of n rows.

    Args:
        returned: Tensor, or an array of NumPy, JAX or another library.
        n: Number of rows.
        name: Name of the function.
        arrays: Whether it may return any arrays, not images alone.
    Raises:
        InputError: It is something else.
    """
    what = f"arrays (n, ...) of numbers for n = {n} rows" if arrays else f"images as {IMAGES}"
    if not isinstance(returned, Tensor):
        if not hasattr(returned, "__array__"):
            remedy = " Is a return statement missing?" if returned is None else ""
            if isinstance(returned, list | tuple):
                remedy = " Stack them, as by torch.stack, where all have one size."
            raise InputError(f"{name} must give {what}; got {type(returned).__name__}.{remedy}")
        array = np.asarray(returned)
        if array.dtype.kind not in "buif":
            raise InputError(f"{name} must give {what}; got {type(returned).__name__} of {array.dtype}.")
        returned = torch.from_numpy(np.array(array))
    if not returned.ndim or len(returned) != n:
        each = "an array" if arrays else "an image"
        raise InputError(f"{name} must give {each} for each of {n} rows; got {tuple(returned.shape)}.")
    tensor: Tensor = returned
    return tensor


def checked_floats(images: Tensor, name: str) -> Tensor:
    """Check floats (n, 3, H, W) in [0, 1].

    Raises:
        InputError: They are something else.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        last = images.ndim == 4 and images.shape[3] == 3
        remedy = " Put the colours first, as by .permute(0, 3, 1, 2)." if last else ""
        raise InputError(f"{name} must give images as {IMAGES}; got {tuple(images.shape)} of {images.dtype}.{remedy}")
    low, high = (float(edge) for edge in images.detach().nan_to_num().aminmax())
    if low < -_ROOM or high > 1 + _ROOM:
        remedy = "Of a network that gives [-1, 1] take (x / 2 + 0.5).clamp(0, 1)."
        if low >= -_ROOM and high > 2:
            remedy = "Of grey levels 0..255 take x / 255, or .round().to(torch.uint8) with the colours last."
        raise InputError(f"{name} must give floats in [0, 1]; got {low:.3g} to {high:.3g}. {remedy}")
    return images


def as_images(images: Tensor, name: str) -> Tensor:
    """Return images as (n, H, W, 3) uint8 on the CPU.

    Raises:
        NoImageError: Some images hold NaN.
        InputError: They are no images.
    """
    if images.is_floating_point():
        return bytes_of(checked_floats(images, name))
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[3] != 3:
        first = images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] == 3
        remedy = " Put the colours last, as by .permute(0, 2, 3, 1)." if first else ""
        raise InputError(f"{name} must give images as {IMAGES}; got {tuple(images.shape)} of {images.dtype}.{remedy}")
    return images.cpu()
