"""The figure of a front: the plane of two rewards, or of every pair of several."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.results.front import Front
from zo_dno.results.plain_text import PLAIN, plain_legend
from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from zo_dno.results.plot import Plot

_ACROSS = 3  # planes side by side


def front_figure(front: Front, history: Sequence[QueryRow], *, narrow: bool = False) -> "Plot":
    """Plot every candidate, the front and the reference point, in the plane of each pair of rewards.

    Args:
        front: Front of the run.
        history: Queries of its search.
        narrow: Whether the figure is for the screen of a phone.
    """
    from zo_dno.results.plot import Plot

    pairs = list(combinations(range(len(front.rewards)), 2))
    across = 1 if narrow else min(_ACROSS, len(pairs))
    down = -(-len(pairs) // across)
    alone = (4.2, 4.2) if narrow else (6.8, 4.8)
    figure = Plot(*(alone if len(pairs) == 1 else ((4.2, 3.4 * down) if narrow else (3.6 * across, 3.6 * down))))
    every = figure.subplots(down, across, squeeze=False).ravel()
    for axes, pair in zip(every, pairs, strict=False):
        _plane(axes, front, history, *pair)
    for axes in every[len(pairs) :]:
        axes.set_visible(False)
    shown = [*every[0].collections, *every[0].lines]
    plain_legend(figure, shown, loc="outside lower center", ncols=2 if narrow else 3, fontsize=8, frameon=False)
    return figure


def _plane(axes: "Axes", front: Front, history: Sequence[QueryRow], x: int, y: int) -> None:
    from zo_dno.results.plot import BLUE, GREY, RED, plain, scatter

    names = front.rewards[x], front.rewards[y]
    rows = [row for row in history if row.components and all(name in row.components for name in names)]
    points = np.array([[(row.components or {})[name] for name in names] for row in rows]).reshape(len(rows), 2)
    on_front = {row.id for row in front}
    feasible = np.array([row.plausible and not row.reward_violation for row in rows], bool)
    others = feasible & np.array([row.id not in on_front for row in rows], bool)
    scatter(axes, points[others, 0], points[others, 1], s=9, color=BLUE, alpha=0.4, label="candidate")
    if not feasible.all():
        style = {"s": 12, "color": GREY, "marker": "x", "lw": 0.8, "label": "infeasible"}
        scatter(axes, points[~feasible, 0], points[~feasible, 1], **style)
    own = front.matrix[:, [x, y]]
    if len(front.rewards) == 2 and len(own):  # what the reference point and the front enclose
        above = np.maximum(own[::-1], front.reference)
        corners = np.vstack([[front.reference[0], above[0, 1]], above, [above[-1, 0], front.reference[1]]])
        axes.plot(*corners.T, drawstyle="steps-pre", color=RED, lw=1, alpha=0.8, label="edge of what it dominates")
    axes.scatter(own[:, 0], own[:, 1], s=26, color=RED, zorder=3, label=f"front, {len(front)} candidates")
    first = points[[row.id == 0 for row in rows]]
    axes.scatter(first[:, 0], first[:, 1], s=40, marker="D", color="k", label="first", zorder=3)
    axes.scatter(front.reference[x], front.reference[y], s=40, marker="+", color="k", lw=1.2, label="reference point")
    for set_label, place in ((axes.set_xlabel, x), (axes.set_ylabel, y)):
        unit = f" / {front.units[place]}" if front.units[place] else ""
        set_label(f"{front.rewards[place]}{unit}", **PLAIN)
    plain(axes)
