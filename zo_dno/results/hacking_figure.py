"""Rewards of a run against the plausibility of their noise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def hacking_figure(rows: Sequence[QueryRow]) -> "Figure":
    """Plot rewards against what a search may have bought them with: log P, norm and whiteness of every candidate."""
    from matplotlib.figure import Figure

    rewards = np.array([np.nan if row.value is None else row.value for row in rows])
    order = np.arange(1, len(rows) + 1)
    panels = (
        ("log P(z)", [row.log_prob for row in rows]),
        ("norm / sqrt(d)", [row.norm_ratio for row in rows]),
        ("whiteness, log10 p", [np.log10(max(row.whiteness, 1e-12)) for row in rows]),
    )
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (label, values) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.scatter(values, rewards, c=order, s=9, cmap="viridis", lw=0)
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.axes[0].set_ylabel("reward")
    figure.colorbar(figure.axes[0].collections[0], ax=figure.axes, label="query")
    return figure
