"""What predictions turned out to be worth."""

from torch import Tensor


def rank_correlation(predictions: Tensor, rewards: Tensor) -> float:
    """Return Spearman's rank correlation of predictions (n,) and rewards (n,); 0 where either does not vary."""
    from scipy.stats import rankdata

    one, other = rankdata(predictions), rankdata(rewards)
    one, other = one - one.mean(), other - other.mean()
    norm = float((one @ one) * (other @ other)) ** 0.5
    return float(one @ other) / norm if norm else 0.0
