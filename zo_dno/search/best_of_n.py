"""Best-of-N at as many queries as the search had: asked for real, or estimated from the run's own prior draws."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import numpy as np

from zo_dno.results.result import Baseline
from zo_dno.storage.ledger import QueryRow

MIN_DRAWS = 8  # below this, a spread says too little


def measured(queries: Sequence[QueryRow], *, constrained: bool) -> Baseline | None:
    """Follow the best eligible reward over prior draws that were asked for."""
    if not queries:  # interrupted before the first
        return None
    rewards = [
        query.value if query.value is not None and query.is_feasible(constrained=constrained) else -math.inf
        for query in queries
    ]
    curve = np.maximum.accumulate(rewards)
    return Baseline(len(curve), tuple(np.where(np.isfinite(curve), curve, np.nan).tolist()), measured=True)


def estimated(prior_draws: Sequence[QueryRow], n: int) -> Baseline | None:
    """Expect the best of 1..n from the mean and spread of a few prior draws, taking their rewards as normal.

    The expected largest of n normal numbers is taken at the (n - 0.375) / (n + 0.25) quantile (Blom 1958). Where some
    draws do not meet what the reward requires, there is no estimate: those that do are too few, and not normal.
    """
    if any(query.reward_violation for query in prior_draws):
        return None
    rewards = [query.value for query in prior_draws if query.value is not None]
    if len(rewards) < MIN_DRAWS:
        return None
    mean, deviation, normal = fmean(rewards), stdev(rewards), NormalDist()
    curve = tuple(mean + deviation * normal.inv_cdf((i - 0.375) / (i + 0.25)) for i in range(1, n + 1))
    return Baseline(n, curve, measured=False)
