"""The best candidates so far, and the spread of scores."""

import torch
from torch import Tensor


def keep_best(elites: Tensor, elite_scores: Tensor, z: Tensor, scores: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the `size` best of two groups, best first; older ones come first among equals, and scores must be there.

    Args:
        elites: Noise of the best so far, (m, d).
        elite_scores: Scores of the best so far, (m,).
        z: Noise of new candidates, (n, d).
        scores: Scores of new candidates, (n,); NaN is missing.
        size: Largest number to keep.
    Returns:
        Noise, (k, d), and scores, (k,).
    """
    all_scores = torch.cat([elite_scores, scores])
    known = int((~all_scores.isnan()).sum())
    order = all_scores.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[: min(size, known)]
    m = len(elites)
    rows = [elites[row] if row < m else z[row - m] for row in order.tolist()]  # a copy of every row would be one more
    return (torch.stack(rows) if rows else elites[:0]), all_scores[order]


def spread_of(scores: Tensor) -> float:
    """Return the standard deviation of the scores that are there; 0 of fewer than two."""
    present = scores[~scores.isnan()]
    return float(present.double().std()) if len(present) > 1 else 0.0
