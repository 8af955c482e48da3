"""Estimates of a black-box reward's gradient at an image, from the rewards of images near it.

Both are cotangents in image space for a vector-Jacobian product through the pipeline (Tang et al. 2024,
arXiv:2405.18881, sec. 4). They accept any leading dimensions, one problem each.
"""

import torch
from torch import Tensor

_EPS = 1e-3  # added to the norm that is divided by, as the paper's code does


def image_differences(offsets: Tensor, scores: Tensor, base: Tensor, mu: float) -> Tensor:
    """Estimate the reward's gradient at x from rewards of x + mu xi (Hybrid-1): mean of (r_i - r) / mu xi_i.

    Args:
        offsets: Noise mu xi_i that is added to the image, (..., q, p).
        scores: Rewards of the perturbed images, (..., q); NaN is missing.
        base: Reward of x, (...).
        mu: Standard deviation of the offsets.
    Returns:
        Gradient in reward units per unit of the image, (..., p); NaN if every score is missing.
    """
    return _mean((scores - base[..., None]) / mu**2, offsets)


def noise_differences(images: Tensor, x: Tensor, scores: Tensor, base: Tensor) -> Tensor:
    """Estimate a direction at x = M(z) from the images of z + mu xi (Hybrid-2): mean of (r_i - r) (M(z + mu xi_i) - x).

    Its expectation is mu^2 J J^T times the gradient, which is only a direction. Here it is scaled by the factor with
    which it predicts the differences of reward best, in the sense of least squares, so that it is in reward units.

    Args:
        images: Images of the probes, (..., q, p).
        x: Image of z, (..., p).
        scores: Rewards of the probes, (..., q); NaN is missing.
        base: Reward of x, (...).
    Returns:
        Direction in reward units per unit of the image, (..., p); NaN if every score is missing, 0 if all are equal.
    """
    moves = images - x[..., None, :]
    gains = scores - base[..., None]
    h = _mean(gains, moves)
    predicted = (moves @ h[..., None])[..., 0]
    present = ~gains.isnan()
    gains = torch.where(present, gains, 0.0)
    predicted = torch.where(present, predicted, 0.0)
    fit = (gains * predicted).sum(-1) / predicted.square().sum(-1).clamp_min(torch.finfo(h.dtype).tiny)
    return fit[..., None] * h


def normalised(h: Tensor) -> Tensor:
    """Divide by the norm (+ 1e-3), as the paper's code does, so that the reward's scale does not matter."""
    unit: Tensor = h / (h.norm(dim=-1, keepdim=True) + _EPS)
    return unit


def _mean(weights: Tensor, vectors: Tensor) -> Tensor:
    """Average weights (..., q) times vectors (..., q, p) over the weights that are not missing."""
    present = ~weights.isnan()
    total = (torch.where(present, weights, 0.0)[..., None, :] @ vectors)[..., 0, :]
    return total / present.sum(-1, keepdim=True)
