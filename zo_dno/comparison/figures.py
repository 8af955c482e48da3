"""Figures of a comparison: curves, intervals, performance profiles, and the plausibility of winners."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.comparison import statistics
from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.several import REWARD
from zo_dno.results.plain_text import PLAIN, plain_legend
from zo_dno.results.plot import GREY, PALETTE, Plot, heading, plain, scatter

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist

_PHONE = 4.2  # inches across


def curves_figure(found: Analysis, *, narrow: bool = False) -> Plot:
    """Plot the mean of what runs are compared by against queries, a panel for each reward and prompt.

    Intervals are 95 % over seeds.

    Args:
        found: Runs of the comparison.
        narrow: Whether the figure is for the screen of a phone.
    """
    budgets, cells = found.budgets, list(found.table.groupby(["reward", "prompt"], sort=True))
    columns = 1 if narrow else min(2, len(cells))
    height = 3.4 * math.ceil(len(cells) / columns)
    figure = Plot(_PHONE, height + _legend_height(found)) if narrow else Plot(5.2 * columns + 1, height)
    panels = np.ravel(figure.subplots(math.ceil(len(cells) / columns), columns, squeeze=False))
    for axes, ((reward, prompt), cell) in zip(panels, cells, strict=False):
        for place, entry in enumerate(found.entries):
            points = [
                (budget, statistics.interval([reached], statistics.mean))
                for budget in budgets
                if len(reached := _reached(cell, entry, budget))
            ]
            if points:
                x = [budget for budget, _ in points]
                colour = _colour(place)
                axes.plot(x, [one.value for _, one in points], color=colour, lw=1.8, label=entry, **_dashed(place))
                axes.fill_between(
                    x, [one.low for _, one in points], [one.high for _, one in points], color=colour, alpha=0.12, lw=0
                )
        axes.set_xscale("log", base=2)
        heading(axes, f"{reward}: {prompt}", size=9, narrow=narrow or len(cells) > 1)
        axes.set_ylabel(_label(cell), **PLAIN)
        plain(axes)
    for axes in panels[len(cells) :]:
        axes.set_visible(False)
    panels[0].set_xlabel("queries")
    _legend(figure, [line for axes in panels for line in axes.lines], narrow=narrow)
    return figure


def improvement_figure(found: Analysis, budget: int | None = None, *, narrow: bool = False) -> Plot:
    """Plot interquartile means, and how often each entry beats best-of-N, with 95 % intervals.

    Args:
        found: Runs of the comparison.
        budget: Number of queries; the largest by default.
        narrow: Whether the figure is for the screen of a phone.
    """
    rows = found.summary(budget)[::-1]
    height = 0.34 * len(rows) + 1.1
    figure = Plot(_PHONE, 2 * height) if narrow else Plot(9, height)
    left, right = figure.subplots(2, 1) if narrow else figure.subplots(1, 2, sharey=True)
    panels = (
        (left, ("iqm", "iqm_low", "iqm_high"), "interquartile mean of normalised reward"),
        (right, ("better_than_reference", "better_low", "better_high"), f"how often better than {found.reference}"),
    )
    for axes, (value, low, high), label in panels:
        places = np.arange(len(rows))
        axes.hlines(places, rows[low], rows[high], color=GREY, lw=5, alpha=0.35)
        axes.plot(rows[value], places, "o", color=GREY, ms=5)
        axes.set_yticks(places, rows["entry"], **PLAIN)
        axes.set_xlabel(label, **PLAIN)
        plain(axes)
    right.axvline(0.5, color=GREY, ls="--", lw=1)
    return figure


def profile_figure(found: Analysis, budget: int | None = None, *, narrow: bool = False) -> Plot:
    """Plot the share of an entry's runs that score more than each level (a performance profile).

    Args:
        found: Runs of the comparison.
        budget: Number of queries; the largest by default.
        narrow: Whether the figure is for the screen of a phone.
    """
    budget = found.budget(budget)
    scores = found.scored[found.scored["budget"] == budget]["score"]
    levels = np.linspace(float(scores.min()), float(scores.max()), 201)
    figure = Plot(_PHONE, 3 + _legend_height(found)) if narrow else Plot(8, 3.4)
    axes = figure.subplots()
    for place, entry in enumerate(found.entries):
        if statistics.strata_of(found.scored, entry, budget):
            share = statistics.profile(found.scored, entry, budget, levels)
            axes.plot(levels, share, color=_colour(place), label=entry, lw=1.6, **_dashed(place))
    axes.set_xlabel("normalised reward")
    axes.set_ylabel("share of the runs above it")
    plain(axes)
    _legend(figure, axes.lines, narrow=narrow)
    return figure


def hacking_figure(found: Analysis, budget: int | None = None, *, narrow: bool = False) -> Plot:
    """Plot the winners' score against log P, norm, whiteness and held-out rewards: was the reward hacked?

    Args:
        found: Runs of the comparison.
        budget: Number of queries; the largest by default.
        narrow: Whether the figure is for the screen of a phone.
    """
    budget = found.budget(budget)
    rows = found.scored[found.scored["budget"] == budget]
    panels: list[tuple[str, Any]] = [
        ("log P(z)", rows["log_prob"].astype(float)),
        ("norm / sqrt(d)", rows["norm_ratio"].astype(float)),
        ("whiteness, log10 p", np.log10(rows["whiteness"].astype(float).clip(lower=1e-12))),
        *((f"{name} (held out)", rows[f"held_out {name}"].astype(float)) for name in found.held_out),
    ]
    columns = 1 if narrow else 2
    rows_of_panels = math.ceil(len(panels) / columns)
    height = 2.7 * rows_of_panels
    figure = Plot(_PHONE, height + _legend_height(found)) if narrow else Plot(9, height)
    places = np.ravel(figure.subplots(rows_of_panels, columns, sharey=True, squeeze=False))
    for axes, (label, values) in zip(places, panels, strict=False):
        for place, entry in enumerate(found.entries):
            own = rows["entry"] == entry
            scatter(axes, values[own], rows["score"][own], s=26, color=_colour(place), alpha=0.8, label=entry)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(label, **PLAIN)
        plain(axes)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    figure.axes[0].set_ylabel("normalised reward")
    _legend(figure, figure.axes[0].collections, narrow=narrow)
    return figure


def _label(cell: "pd.DataFrame") -> str:
    """Return what the runs of a cell are compared by, with its unit."""
    statistic, unit = cell["statistic"].iloc[0], cell["unit"].iloc[0]
    return f"{'best' if statistic == REWARD else statistic} / {unit}"


def _colour(place: int) -> str:
    return GREY if place == 0 else PALETTE[(place - 1) % len(PALETTE)]


def _dashed(place: int) -> dict[str, Any]:
    return {"ls": "--"} if place == 0 or place > len(PALETTE) else {}


def _legend(figure: Plot, shown: "Iterable[Artist]", *, narrow: bool) -> None:
    loc = "outside lower left" if narrow else "outside right upper"
    plain_legend(figure, shown, loc=loc, fontsize=8, frameon=False, ncols=1)


def _legend_height(found: Analysis) -> float:
    """Return the height in inches of a legend below a figure."""
    return 0.17 * len(found.entries) + 0.2


def _reached(cell: "pd.DataFrame", entry: str, budget: int) -> np.ndarray:
    rows = cell[(cell["entry"] == entry) & (cell["budget"] == budget)]
    return rows["best"].dropna().to_numpy(float)
