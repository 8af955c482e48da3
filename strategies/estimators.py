"""Gradient estimates from reward values, averaged over the probes whose scores are known."""

import torch
from torch import Tensor


def forward_difference(xi: Tensor, scores: Tensor, base: Tensor, mu: float) -> Tensor:
    """Estimate the gradient at z from rewards at z + mu xi and at z: mean of (r(z + mu xi) - r(z)) / mu xi.

    This is DNO's ZO-SGD (Tang et al. 2024, arXiv:2405.18881) with the factor 1 / mu that makes it a gradient.

    Args:
        xi: Directions with second moment I, (q, d).
        scores: Rewards at z + mu xi, (q,); NaN is missing.
        base: Reward at z, ().
        mu: Probe radius.
    Returns:
        Gradient, (d,); NaN if every probe is missing.
    """
    return _mean_along(xi, (scores - base) / mu)


def central_difference(xi: Tensor, plus: Tensor, minus: Tensor, mu: float) -> Tensor:
    """Estimate the gradient at z from rewards at z + mu xi and z - mu xi: mean of (r(+) - r(-)) / (2 mu) xi.

    Args:
        xi: Directions with second moment I, (q, d).
        plus: Rewards at z + mu xi, (q,); NaN is missing.
        minus: Rewards at z - mu xi, (q,); NaN is missing.
        mu: Probe radius.
    Returns:
        Gradient, (d,); NaN if every pair is missing.
    """
    return _mean_along(xi, (plus - minus) / (2 * mu))


def _mean_along(xi: Tensor, slopes: Tensor) -> Tensor:
    present = ~slopes.isnan()
    return torch.where(present, slopes, 0.0) @ xi / present.sum()
