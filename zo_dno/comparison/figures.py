"""Figures of a comparison: curves, intervals, performance profiles, and the plausibility of winners."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.comparison import statistics
from zo_dno.comparison.analysis import Analysis
from zo_dno.results.plain_text import PLAIN, plain_legend

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = (
    "#30638e",
    "#d1495b",
    "#00798c",
    "#edae49",
    "#6a4c93",
    "#5f8d4e",
    "#8c6d46",
    "#3d405b",
    "#8d99ae",
    "#e07a5f",
)


def curves_figure(found: Analysis) -> "Figure":
    """Plot the mean best reward against queries, a panel for each reward and prompt, with 95 % intervals over seeds."""
    budgets, cells = found.budgets, list(found.table.groupby(["reward", "prompt"], sort=True))
    columns = min(2, len(cells))
    figure = _figure(5.2 * columns + 1, 3.4 * math.ceil(len(cells) / columns))
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
        axes.set_title(f"{reward}: {prompt}", loc="left", fontsize=9, **PLAIN)
        axes.set_ylabel(f"best / {cell['unit'].iloc[0]}", **PLAIN)
        _plain(axes)
    for axes in panels[len(cells) :]:
        axes.set_visible(False)
    panels[0].set_xlabel("queries")
    _legend(figure, [line for axes in panels for line in axes.lines])
    return figure


def improvement_figure(found: Analysis, budget: int | None = None) -> "Figure":
    """Plot interquartile means, and how often each entry beats best-of-N, with 95 % intervals."""
    rows = found.summary(budget)[::-1]
    figure = _figure(9, 0.34 * len(rows) + 1.1)
    left, right = figure.subplots(1, 2, sharey=True)
    panels = (
        (left, ("iqm", "iqm_low", "iqm_high"), "interquartile mean of normalised reward"),
        (right, ("better_than_reference", "better_low", "better_high"), f"how often better than {found.reference}"),
    )
    for axes, (value, low, high), label in panels:
        places = np.arange(len(rows))
        axes.hlines(places, rows[low], rows[high], color=_colour(0), lw=5, alpha=0.35)
        axes.plot(rows[value], places, "o", color=_colour(0), ms=5)
        axes.set_yticks(places, rows["entry"], **PLAIN)
        axes.set_xlabel(label, **PLAIN)
        _plain(axes)
    right.axvline(0.5, color="#8d99ae", ls="--", lw=1)
    return figure


def profile_figure(found: Analysis, budget: int | None = None) -> "Figure":
    """Plot the share of an entry's runs that score more than each level (a performance profile)."""
    budget = found.budget(budget)
    scores = found.scored[found.scored["budget"] == budget]["score"]
    levels = np.linspace(float(scores.min()), float(scores.max()), 201)
    figure = _figure(8, 3.4)
    axes = figure.subplots()
    for place, entry in enumerate(found.entries):
        if statistics.strata_of(found.scored, entry, budget):
            share = statistics.profile(found.scored, entry, budget, levels)
            axes.plot(levels, share, color=_colour(place), label=entry, lw=1.6, **_dashed(place))
    axes.set_xlabel("normalised reward")
    axes.set_ylabel("share of the runs above it")
    _plain(axes)
    _legend(figure, axes.lines)
    return figure


def hacking_figure(found: Analysis, budget: int | None = None) -> "Figure":
    """Plot the winners' score against log P, norm, whiteness and held-out rewards: was the reward bought?"""
    budget = found.budget(budget)
    rows = found.scored[found.scored["budget"] == budget]
    panels: list[tuple[str, Any]] = [
        ("log P(z)", rows["log_prob"].astype(float)),
        ("norm / sqrt(d)", rows["norm_ratio"].astype(float)),
        ("whiteness, log10 p", np.log10(rows["whiteness"].astype(float).clip(lower=1e-12))),
        *((f"{name} (held out)", rows[f"held_out {name}"].astype(float)) for name in found.held_out),
    ]
    rows_of_panels = math.ceil(len(panels) / 2)
    figure = _figure(9, 2.7 * rows_of_panels)
    places = np.ravel(figure.subplots(rows_of_panels, 2, sharey=True, squeeze=False))
    for axes, (label, values) in zip(places, panels, strict=False):
        for place, entry in enumerate(found.entries):
            own = rows["entry"] == entry
            axes.scatter(values[own], rows["score"][own], s=14, color=_colour(place), lw=0, alpha=0.8, label=entry)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(label, **PLAIN)
        _plain(axes)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    figure.axes[0].set_ylabel("normalised reward")
    _legend(figure, figure.axes[0].collections)
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _colour(place: int) -> str:
    return "#8d99ae" if place == 0 else _COLOURS[(place - 1) % len(_COLOURS)]


def _dashed(place: int) -> dict[str, Any]:
    return {"ls": "--"} if place == 0 or place > len(_COLOURS) else {}


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)


def _legend(figure: "Figure", shown: "Iterable[Artist]") -> None:
    plain_legend(figure, shown, loc="outside right upper", fontsize=8, frameon=False)


def _reached(cell: "pd.DataFrame", entry: str, budget: int) -> np.ndarray:
    rows = cell[(cell["entry"] == entry) & (cell["budget"] == budget)]
    return rows["best"].dropna().to_numpy(float)
