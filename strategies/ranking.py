"""Values by rank for scores with ties and missing ones."""

from collections.abc import Callable

import torch
from torch import Tensor


def rank_values(scores: Tensor, values: Callable[[int], Tensor]) -> Tensor:
    """Give each score the value of its rank; tied scores get their mean, missing ones 0.

    Args:
        scores: Scores, (n,); higher is better, NaN is missing.
        values: Function from m, the number of known scores, to (m,) values that sum to 0, the best score's first.
    Returns:
        Values, (n,), that sum to 0.
    """
    present = ~scores.isnan()
    if not bool(present.any()):
        return torch.zeros(len(scores))
    levels, level = scores[present].unique(return_inverse=True)
    by_rank = values(int(present.sum())).flip(0)  # worst first, as `unique` sorts
    size = torch.bincount(level, minlength=len(levels))
    last = size.cumsum(0)
    total = torch.cat([torch.zeros(1), by_rank.cumsum(0)])
    ranked = torch.zeros(len(scores))
    ranked[present] = ((total[last] - total[last - size]) / size)[level]
    return ranked


def centred_ranks(m: int) -> Tensor:
    """Return evenly spaced values for m ranks, from 1/2 (best) to -1/2 (worst)."""
    return torch.linspace(0.5, -0.5, m) if m > 1 else torch.zeros(m)


def shuffled_ranks(scores: Tensor, rng: torch.Generator) -> Tensor:
    """Rank scores from 0 (worst) to n - 1 (best), with ties in random order and missing ones in the middle.

    It is for libraries that sort, which prefer the first of equals; that would be a bias.
    """
    ranks = rank_values(scores, centred_ranks)
    shuffled = torch.randperm(len(scores), generator=rng)
    order = shuffled[ranks[shuffled].argsort(stable=True)]
    return torch.empty(len(scores)).scatter_(0, order, torch.arange(len(scores), dtype=torch.float32))
