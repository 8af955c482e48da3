"""Statistics of paired runs: normalised rewards, intervals, tests, and a sentence for each claim.

A cell is a reward and a prompt. The rewards of a cell share one scale: 0 is the mean of best-of-N at the smallest
budget, 1 the best that any entry reached. Runs are paired by cell and seed. Intervals resample the seeds of every cell
(stratified bootstrap); the measures are those of Agarwal et al. 2021 (arXiv:2108.13264).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.rng import stream_seed

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
FEWEST_SEEDS = 3  # in each cell for an interval: resampling two seeds has three outcomes
FEWEST_PAIRS = 6  # for a test: 5 pairs never reach 5 %, two-sided
_RESAMPLES = 2000
_FLIPS = 20000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval, whose ends are NaN where there are too few seeds; all NaN without values."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "-"
        if math.isnan(self.low):
            return f"{self.value:.3f} (too few seeds for an interval)"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Claim:
    """The comparison of two entries over their pairs.

    Attributes:
        difference: Mean normalised reward of `entry` minus that of `other`.
        wins: Share of the pairs that `entry` wins; ties count half.
        p: p-value of a two-sided sign-flip test, corrected for the number of claims (Holm); NaN with too few pairs.
        n_claims: Number of claims that the p-value is corrected for.
    """

    entry: str
    other: str
    budget: int
    difference: Interval
    wins: float
    pairs: int
    p: float
    n_claims: int = 1

    @property
    def is_significant(self) -> bool:
        """Whether the corrected p-value is below 5 %."""
        return self.p < 1 - LEVEL

    def __str__(self) -> str:
        facts = f"{self.difference.value:+.3f} in normalised reward, {self.wins:.0%} of {self.pairs} pairs won"
        if self.pairs < (needed := pairs_needed(self.n_claims)):
            together = f" with {self.n_claims} claims" if self.n_claims > 1 else ""
            return (
                f"{self.entry} against {self.other} at {self.budget} queries: {facts}; {self.pairs} pairs are too few "
                f"to say whether that is chance (it takes {needed}{together})."
            )
        low, high = self.difference.low, self.difference.high
        interval = "" if math.isnan(low) else f", 95 % interval {low:+.3f} to {high:+.3f}"
        facts += f"{interval}, p = {self.p:.2g}"
        if not self.is_significant:
            return f"{self.entry} and {self.other} are not told apart at {self.budget} queries: {facts}."
        verb = "is ahead of" if self.difference.value > 0 else "is behind"
        return f"{self.entry} {verb} {self.other} at {self.budget} queries: {facts}."


def normalised(table: "pd.DataFrame", baseline: str, scale: "pd.DataFrame | None" = None) -> "pd.DataFrame":
    """Return the table with a column `score`: the reward on its cell's scale. A run without a winner has the lowest.

    Args:
        table: Rows of entries' rewards (`best`) in cells, at budgets unless there is another table for the scale.
        baseline: Entry whose mean at the smallest budget is 0.
        scale: Table whose runs define 0 and 1 of the cells that it has; by default the same one.
    """
    found = table.copy()
    found["score"] = np.nan
    runs = {} if scale is None else dict(iter(scale.groupby(["reward", "prompt"], sort=False)))
    for name, cell in table.groupby(["reward", "prompt"], sort=False):
        own = runs.get(name, cell)
        smallest = own["budget"].min()
        zero = own.loc[(own["entry"] == baseline) & (own["budget"] == smallest), "best"].mean()
        one = own["best"].max()
        if not math.isfinite(zero):
            zero = own.loc[own["budget"] == smallest, "best"].mean()
        if not math.isfinite(zero):  # no run has a winner there
            zero = own["best"].min()
        width = one - zero if one > zero else 1.0
        score = (cell["best"].astype(float) - zero) / width
        found.loc[cell.index, "score"] = score.fillna(score.min())
    return found


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of the middle half of values (..., n); a value at the edge of a quarter counts in proportion."""
    ordered = np.sort(np.asarray(values, float))
    n, quarter = ordered.shape[-1], ordered.shape[-1] / 4
    lower = np.arange(n, dtype=float)
    weights = np.clip(np.minimum(lower + 1, n - quarter) - np.maximum(lower, quarter), 0, 1)
    middle: np.ndarray = ordered @ weights / weights.sum()
    return middle


def mean(values: np.ndarray) -> np.ndarray:
    """Return the mean of values (..., n)."""
    middle: np.ndarray = values.mean(axis=-1)
    return middle


def interval(
    strata: Sequence[np.ndarray],
    measure: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> Interval:
    """Estimate a measure of the pooled values, with a stratified percentile bootstrap.

    Args:
        strata: Values of each cell, (n_i,).
        measure: Function of pooled values (..., n) that returns (...).
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    strata = [np.asarray(values, float) for values in strata if len(values)]
    if not strata:
        return Interval(math.nan, math.nan, math.nan)
    pooled, sizes = np.concatenate(strata), np.array([len(values) for values in strata])
    value = float(measure(pooled))
    if sizes.min() < FEWEST_SEEDS:
        return Interval(value, math.nan, math.nan)
    rng = np.random.default_rng(stream_seed(seed, "bootstrap"))
    first = np.repeat(sizes.cumsum() - sizes, sizes)  # of each value's stratum, from which it is replaced
    places = first + rng.integers(np.repeat(sizes, sizes), size=(resamples, len(pooled)))
    low, high = np.quantile(measure(pooled[places]), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def interval_over_cells(cells: Sequence[np.ndarray], seed: int = 0, resamples: int = _RESAMPLES) -> Interval:
    """Estimate the mean of the pooled values, for cells that are a sample of others as well.

    The percentile bootstrap resamples the cells, and then the values of each cell that was drawn (Davison and Hinkley
    1997, section 3.8). It is wider than `interval` where cells differ, and rough with few cells.

    Args:
        cells: Values of each cell, (n_i,).
        seed: Seed of the resampling.
        resamples: Number of resamples.
    """
    cells = [np.asarray(values, float) for values in cells if len(values)]
    if not cells:
        return Interval(math.nan, math.nan, math.nan)
    value = float(np.concatenate(cells).mean())
    if min(map(len, cells)) < FEWEST_SEEDS:
        return Interval(value, math.nan, math.nan)
    rng = np.random.default_rng(stream_seed(seed, "bootstrap over cells"))
    totals, counts = np.zeros(resamples), np.zeros(resamples)
    for drawn in rng.integers(len(cells), size=(len(cells), resamples)):
        for place, values in enumerate(cells):
            here = np.flatnonzero(drawn == place)
            totals[here] += rng.choice(values, size=(len(here), len(values))).sum(axis=1)
            counts[here] += len(values)
    low, high = np.quantile(totals / counts, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def strata_of(table: "pd.DataFrame", entry: str, budget: int) -> list[np.ndarray]:
    """Return an entry's scores at a budget, an array for each cell in which any run has a winner."""
    rows = table[(table["entry"] == entry) & (table["budget"] == budget)].dropna(subset="score")
    return [cell["score"].to_numpy(float) for _, cell in rows.groupby(["reward", "prompt"], sort=True)]


def paired(table: "pd.DataFrame", entry: str, other: str, budget: int) -> list[np.ndarray]:
    """Return the differences of two entries' scores over the seeds of both, an array for each cell.

    An entry with several runs of a seed, which were put together from elsewhere, has their mean there.
    """
    at = table[table["budget"] == budget]
    both = [at[at["entry"] == name].groupby(["reward", "prompt", "seed"])["score"].mean() for name in (entry, other)]
    differences = (both[0] - both[1]).dropna()
    return [cell.to_numpy(float) for _, cell in differences.groupby(level=["reward", "prompt"], sort=True)]


def sign_flip_p(differences: np.ndarray, seed: int = 0) -> float:
    """Return the two-sided p-value of the mean under random signs; exact up to 14 pairs. NaN for fewer than 6."""
    n = len(differences)
    if n < FEWEST_PAIRS:
        return math.nan
    observed = abs(differences.mean()) - 1e-12
    if n <= 14:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) / n >= observed).mean())
    rng = np.random.default_rng(stream_seed(seed, "sign flips"))
    signs = rng.choice([-1.0, 1.0], size=(_FLIPS, n))
    return float((1 + (np.abs(signs @ differences) / n >= observed).sum()) / (1 + _FLIPS))


def pairs_needed(n_claims: int) -> int:
    """Return the fewest pairs with which one of several claims can be significant: if all its pairs are won.

    The smallest two-sided p-value of n sign flips is 2^(1 - n), and Holm multiplies the smallest of m by m.

    Args:
        n_claims: Number of claims that p-values are corrected for.
    """
    pairs = FEWEST_PAIRS
    while max(1, n_claims) * 2.0 ** (1 - pairs) >= 1 - LEVEL:
        pairs += 1
    return pairs


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979); NaN stays NaN and does not count."""
    known = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, worst = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(known):
        worst = max(worst, min(1.0, p * (len(known) - rank)))
        corrected[place] = worst
    return corrected


def claims(table: "pd.DataFrame", reference: str, budget: int) -> list[Claim]:
    """Compare every entry with the reference at a budget, the best first. The table has scores."""
    found = []
    for entry in [name for name in table["entry"].unique() if name != reference]:
        cells = paired(table, entry, reference, budget)
        if not cells:
            continue
        pooled = np.concatenate(cells)
        wins = float((pooled > 0).mean() + (pooled == 0).mean() / 2)
        found.append((entry, interval(cells, mean), wins, len(pooled), sign_flip_p(pooled)))
    corrected = holm([p for *_, p in found])
    made = [
        Claim(entry, reference, budget, difference, wins, pairs, p, len(found))
        for (entry, difference, wins, pairs, _), p in zip(found, corrected, strict=True)
    ]
    return sorted(made, key=lambda claim: -claim.difference.value)


def probability_of_improvement(table: "pd.DataFrame", entry: str, other: str, budget: int) -> Interval:
    """Estimate how often a run of `entry` beats the run of `other` with the same cell and seed; ties count half."""
    cells = paired(table, entry, other, budget)
    return interval([np.where(cell > 0, 1.0, np.where(cell < 0, 0.0, 0.5)) for cell in cells], mean)


def profile(table: "pd.DataFrame", entry: str, budget: int, levels: np.ndarray) -> np.ndarray:
    """Return the share of an entry's runs that score more than each level."""
    scores = np.concatenate(strata_of(table, entry, budget))
    above: np.ndarray = (scores[:, None] > levels).mean(0)
    return above


def mean_ranks(table: "pd.DataFrame", budget: int) -> "pd.Series[float]":
    """Return the mean rank of each entry over the cells and seeds that all entries have; 1 is best, ties share."""
    wide = table[table["budget"] == budget].pivot_table(
        index=["reward", "prompt", "seed"], columns="entry", values="score", aggfunc="mean"
    )
    return wide.dropna().rank(axis=1, ascending=False).mean().sort_values()


def expected_best_of(rewards: np.ndarray, n: int) -> float:
    """Return the expected best of n rewards, drawn without replacement; NaN for n above the number of rewards."""
    ordered = np.sort(rewards)
    total = len(ordered)
    if not 1 <= n <= total:
        return math.nan
    weights, left = np.zeros(total), 1.0
    for place in range(total - 1, n - 2, -1):  # probability that the sample holds this one and none above it
        weights[place] = left * n / (place + 1)
        left *= 1 - n / (place + 1)
        if left <= 0:
            break
    return float(ordered @ weights)
