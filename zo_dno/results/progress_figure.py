"""The figure of a run's progress: rewards and log P against queries."""

from typing import TYPE_CHECKING

import numpy as np

from zo_dno.results.plain_text import PLAIN, plain_legend
from zo_dno.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ORANGE, _BLUE, _GREY = "#d1495b", "#30638e", "#8d99ae"


def progress_figure(result: Result, threshold: float | None = None) -> "Figure":
    """Plot every candidate, the best so far, best-of-N at equal queries, and log P with its threshold."""
    from matplotlib.figure import Figure

    queries = np.arange(1, len(result.history) + 1)
    rewards = np.array([np.nan if query.value is None else query.value for query in result.history])
    plausible = np.array([query.plausible and not query.reward_violation for query in result.history])
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.scatter(queries[plausible], rewards[plausible], s=7, color=_BLUE, alpha=0.35, lw=0, label="candidate")
    if not plausible.all():
        above.scatter(
            queries[~plausible], rewards[~plausible], s=12, color=_GREY, marker="x", lw=0.8, label="infeasible"
        )
    above.step(queries, best_so_far(result), where="post", color=_BLUE, lw=2, label=f"{result.strategy}, best so far")
    if result.baseline is not None:
        how = "" if result.baseline.measured else " (estimated)"
        curve = result.baseline.curve
        above.step(
            range(1, len(curve) + 1), curve, where="post", color=_ORANGE, lw=1.5, ls="--", label=f"best-of-N{how}"
        )
    above.set_ylabel(f"{result.reward} / {result.unit}", **PLAIN)
    above.set_title(f"{result.prompt or result.model}", loc="left", fontsize=11, **PLAIN)
    plain_legend(above, [*above.collections, *above.lines], loc="lower right", fontsize=8, framealpha=0.9)
    below.plot(queries, [query.log_prob for query in result.history], ".", ms=3, color=_BLUE, alpha=0.5)
    if threshold is not None:
        below.axhline(threshold, color=_ORANGE, lw=1, ls="--")
        below.annotate("lowest feasible", (1, threshold), xytext=(0, 3), textcoords="offset points", fontsize=7)
    below.set_ylabel("log P(z)")
    below.set_xlabel("queries")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    return figure


def best_so_far(result: Result) -> np.ndarray:
    """Return the best reward after each query, NaN while there is none."""
    curve, ids = np.full(len(result.history), np.nan), np.array([query.id for query in result.history])
    for found in result.improvements:
        if found.feasible:
            curve[ids >= found.id] = found.reward
    return curve
