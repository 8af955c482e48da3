"""The figure of a run's progress: rewards and log P against queries."""

from typing import TYPE_CHECKING

import numpy as np

from zo_dno.results.plain_text import PLAIN, plain_legend
from zo_dno.results.result import Result

if TYPE_CHECKING:
    from zo_dno.results.plot import Plot


def progress_figure(result: Result, *, narrow: bool = False) -> "Plot":
    """Plot every candidate, the best so far, best-of-N at equal queries, and log P with its threshold.

    Args:
        result: Result of the run.
        narrow: Whether the figure is for the screen of a phone.
    """
    from zo_dno.results.plot import BLUE, GREY, MANY_POINTS, RED, Plot, heading, plain, scatter

    queries = np.arange(1, len(result.history) + 1)
    rewards = np.array([np.nan if query.value is None else query.value for query in result.history])
    plausible = np.array([query.plausible and not query.reward_violation for query in result.history])
    figure = Plot(4.2, 5.1) if narrow else Plot(8, 5.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    scatter(above, queries[plausible], rewards[plausible], s=7, color=BLUE, alpha=0.35, label="candidate")
    if not plausible.all():
        style = {"s": 12, "color": GREY, "marker": "x", "lw": 0.8, "label": "infeasible"}
        scatter(above, queries[~plausible], rewards[~plausible], **style)
    above.step(queries, best_so_far(result), where="post", color=BLUE, lw=2, label=f"{result.strategy}, best so far")
    if result.baseline is not None:
        how = "" if result.baseline.measured else " (estimated)"
        curve = result.baseline.curve
        above.step(range(1, len(curve) + 1), curve, where="post", color=RED, lw=1.5, ls="--", label=f"best-of-N{how}")
    above.set_ylabel(f"{result.reward} / {result.unit}", **PLAIN)
    heading(above, result.prompt or result.model, size=11, narrow=narrow)
    shown = [*above.collections, *above.lines]
    if narrow:  # no place is free of points
        plain_legend(figure, shown, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    else:
        plain_legend(above, shown, loc="lower right", fontsize=8, framealpha=0.9)
    log_prob = [query.log_prob for query in result.history]
    below.plot(queries, log_prob, ".", ms=3, color=BLUE, alpha=0.5, rasterized=len(queries) > MANY_POINTS)
    if result.lowest_log_prob is not None:
        below.axhline(result.lowest_log_prob, color=RED, lw=1, ls="--")
        at = (1, result.lowest_log_prob)
        below.annotate("lowest feasible", at, xytext=(0, 3), textcoords="offset points", fontsize=7)
    below.set_ylabel("log P(z)")
    below.set_xlabel("queries")
    plain(above)
    plain(below)
    return figure


def best_so_far(result: Result) -> np.ndarray:
    """Return the best reward after each query, NaN while there is none."""
    curve, ids = np.full(len(result.history), np.nan), np.array([query.id for query in result.history])
    for found in result.improvements:
        if found.feasible:
            curve[ids >= found.id] = found.reward
    return curve
