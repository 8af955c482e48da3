"""Rewards of a run against the plausibility of their noise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from zo_dno.results.plot import Plot


def hacking_figure(rows: Sequence[QueryRow], *, narrow: bool = False) -> "Plot":
    """Plot rewards against what a hacked reward is bought with: log P, norm and whiteness of every candidate.

    Args:
        rows: Completed queries of the run.
        narrow: Whether the figure is for the screen of a phone.
    """
    from zo_dno.results.plot import Plot, plain, scatter

    rewards = np.array([np.nan if row.value is None else row.value for row in rows])
    order = np.arange(1, len(rows) + 1)
    panels = (
        ("log P(z)", [row.log_prob for row in rows]),
        ("norm / sqrt(d)", [row.norm_ratio for row in rows]),
        ("whiteness, log10 p", [np.log10(max(row.whiteness, 1e-12)) for row in rows]),
    )
    figure = Plot(4.2, 7.2) if narrow else Plot(9, 2.8)
    places = figure.subplots(3, 1) if narrow else figure.subplots(1, 3)
    for axes, (label, values) in zip(places, panels, strict=True):
        scatter(axes, values, rewards, c=order, s=9, cmap="viridis")
        axes.set_xlabel(label)
        plain(axes)
    figure.axes[0].set_ylabel("reward")
    figure.colorbar(figure.axes[0].collections[0], ax=figure.axes, label="query", shrink=0.5 if narrow else 1)
    return figure
