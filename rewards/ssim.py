"""The structural similarity of two images (Wang et al. 2004)."""

import numpy as np

from zo_dno.errors import InputError

_SIGMA, _RADIUS = 1.5, 5  # a Gaussian window of 11 x 11 pixels
_K1, _K2 = 0.01, 0.03
_WHITE = 255.0


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Average the structural similarity over all windows that lie within the images (Wang et al. 2004, eq. 13 to 17).

    Args:
        x: Luma of one image in grey levels, (H, W).
        y: Luma of the other image, (H, W).
    Returns:
        Similarity in [-1, 1]; 1 for equal images.
    Raises:
        InputError: The images are smaller than the window.
    """
    side = 2 * _RADIUS + 1
    if min(x.shape) < side:
        raise InputError(f"image must be at least {side}x{side} pixels for SSIM; got {x.shape[1]}x{x.shape[0]}.")
    c1, c2 = (_K1 * _WHITE) ** 2, (_K2 * _WHITE) ** 2
    mean_x, mean_y = _local(x), _local(y)  # eq. 14
    var_x, var_y = _local(x * x) - mean_x**2, _local(y * y) - mean_y**2  # eq. 15
    covariance = _local(x * y) - mean_x * mean_y  # eq. 16
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float(np.clip(np.mean(luminance * structure), -1, 1))  # eq. 13, 17; rounding can pass 1


def _local(values: np.ndarray) -> np.ndarray:
    """Weigh what is around each pixel that has a whole window around it."""
    from scipy.ndimage import gaussian_filter

    whole = slice(_RADIUS, -_RADIUS)
    smooth: np.ndarray = gaussian_filter(values, _SIGMA, radius=_RADIUS)
    return smooth[whole, whole]
