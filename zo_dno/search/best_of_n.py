"""Best-of-N at as many queries as the search had: measured, or estimated from the run's own prior draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, stdev
from typing import Any

import numpy as np

from zo_dno.storage.ledger import QueryRow

MIN_DRAWS = 8  # below this number the measured spread is too uncertain


@dataclass(frozen=True, slots=True)
class Baseline:
    """Best-of-N at as many queries as the search had.

    Attributes:
        queries: Number of prior draws, N.
        curve: Best feasible reward among the first n prior draws, (N,); NaN while there is none.
        measured: Whether the draws were scored, rather than estimated from the run's own prior draws.
        draws: Number of prior draws that the curve was computed from.
    """

    queries: int
    curve: tuple[float, ...] = field(repr=False)
    measured: bool
    draws: int

    @property
    def reward(self) -> float | None:
        """Best-of-N, or None if no draw is feasible."""
        return None if math.isnan(self.curve[-1]) else self.curve[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of `result.json`."""
        return {"queries": self.queries, "reward": self.reward, "measured": self.measured, "draws": self.draws}


def measured(queries: Sequence[QueryRow], *, constrained: bool) -> Baseline | None:
    """Follow the best feasible reward over scored prior draws."""
    if not queries:  # interrupted before the first
        return None
    rewards = [
        query.value if query.value is not None and query.is_feasible(constrained=constrained) else -math.inf
        for query in queries
    ]
    curve = np.maximum.accumulate(rewards)
    points = tuple(np.where(np.isfinite(curve), curve, np.nan).tolist())
    return Baseline(len(curve), points, measured=True, draws=len(curve))


def estimated(prior_draws: Sequence[QueryRow], n: int, highest: float = math.inf) -> Baseline | None:
    """Estimate the expected best of 1..n from the mean and spread of a few prior draws, with normal rewards assumed.

    The expected largest of n normal numbers is taken at the (n - 0.375) / (n + 0.25) quantile (Blom 1958). There is no
    estimate where some draws violate the reward's constraints: those that meet them are too few, and not normal.

    Args:
        prior_draws: Queries of prior draws.
        n: Number of draws to estimate the best of.
        highest: Highest possible reward, which the estimate does not exceed.
    """
    if any(query.reward_violation for query in prior_draws):
        return None
    rewards = [query.value for query in prior_draws if query.value is not None]
    if len(rewards) < MIN_DRAWS:
        return None
    mean, deviation, normal = fmean(rewards), stdev(rewards), NormalDist()
    best = (mean + deviation * normal.inv_cdf((i - 0.375) / (i + 0.25)) for i in range(1, n + 1))
    curve = tuple(min(highest, one) for one in best)
    return Baseline(n, curve, measured=False, draws=len(prior_draws))
