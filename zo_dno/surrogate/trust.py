"""What predictions turned out to be worth, and how far searches of them may go."""

from torch import Tensor

LEAST = 0.2
"""Least rank correlation of rewards with their predictions, and least share of the usual steps, that are trusted."""
_JUDGED = 32  # latest scores whose predictions from all the others are judged
_LONGER, _SHORTER, _AGAIN = 1.4, 0.7, 1.1  # five rounds without a new best make the share smaller than the least
_SHORTEST = 0.1


def rank_correlation(predictions: Tensor, rewards: Tensor) -> float:
    """Return Spearman's rank correlation of predictions (n,) and rewards (n,); 0 where either does not vary."""
    from scipy.stats import rankdata

    one, other = rankdata(predictions), rankdata(rewards)
    one, other = one - one.mean(), other - other.mean()
    norm = float((one @ one) * (other @ other)) ** 0.5
    return float(one @ other) / norm if norm else 0.0


def after(share: float, *, better: bool) -> float:
    """Return the share of the usual steps after a round that followed predictions.

    Steps follow success, as trust regions do (TuRBO, Eriksson et al. 2019): predictions that hold near the scored
    noise, and not far from it, still lead on.

    Args:
        share: Share of the last round.
        better: Whether that round had a new best candidate.
    """
    return min(1.0, share * _LONGER) if better else max(_SHORTEST, share * _SHORTER)


def after_fallback(share: float) -> float:
    """Return the share after a round of another search: after some of them, predictions are tried again."""
    return min(1.0, share * _AGAIN)


def is_predictable(left_out: Tensor, rewards: Tensor) -> bool:
    """Return whether the latest rewards (n,) go with their predictions from all the others, (n,).

    Fewer than 32 rewards cannot tell: leaving one of few out moves the mean of the others against it.
    """
    if len(rewards) < _JUDGED:
        return True
    return rank_correlation(left_out[-_JUDGED:], rewards[-_JUDGED:]) >= LEAST
