"""A comparison as one HTML file that needs nothing else, and its figures one by one."""

import html
import json
import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zo_dno.comparison import statistics
from zo_dno.errors import InputError
from zo_dno.results.environment import versions
from zo_dno.results.markup import address, embedded, number, page, table
from zo_dno.storage.atomic import write_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zo_dno.comparison.compare import Comparison

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
_MOST_PICTURES = 60  # in the grid: more would make the file large


def curves_figure(found: "Comparison") -> "Figure":
    """Draw the mean best reward against queries, a panel a reward and prompt, with 95 % intervals over seeds."""
    cells = list(found.table.groupby(["reward", "prompt"], sort=True))
    columns = min(2, len(cells))
    figure = _figure(5.2 * columns + 1, 3.4 * math.ceil(len(cells) / columns))
    panels = np.ravel(figure.subplots(math.ceil(len(cells) / columns), columns, squeeze=False))
    for axes, ((reward, prompt), cell) in zip(panels, cells, strict=False):
        for place, entry in enumerate(found.entries):
            points = [
                (budget, statistics.interval([reached], _mean))
                for budget in found.budgets
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
        axes.set_title(f"{reward}: {prompt}", loc="left", fontsize=9)
        axes.set_ylabel(f"best / {cell['unit'].iloc[0]}")
        _plain(axes)
    for axes in panels[len(cells) :]:
        axes.set_visible(False)
    panels[0].set_xlabel("queries")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def improvement_figure(found: "Comparison", budget: int | None = None) -> "Figure":
    """Draw interquartile means, and how often each entry beats best-of-N, with 95 % intervals."""
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
        axes.set_yticks(places, rows["entry"])
        axes.set_xlabel(label)
        _plain(axes)
    right.axvline(0.5, color="#8d99ae", ls="--", lw=1)
    return figure


def profile_figure(found: "Comparison", budget: int | None = None) -> "Figure":
    """Draw which part of an entry's runs score more than every level (a performance profile)."""
    budget = budget or found.budgets[-1]
    scores = found.scored[found.scored["budget"] == budget]["score"]
    levels = np.linspace(float(scores.min()), float(scores.max()), 201)
    figure = _figure(8, 3.4)
    axes = figure.subplots()
    for place, entry in enumerate(found.entries):
        if statistics.strata_of(found.scored, entry, budget):
            share = statistics.profile(found.scored, entry, budget, levels)
            axes.plot(levels, share, color=_colour(place), label=entry, lw=1.6, **_dashed(place))
    axes.set_xlabel("normalised reward")
    axes.set_ylabel("part of the runs above it")
    _plain(axes)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def hacking_figure(found: "Comparison", budget: int | None = None) -> "Figure":
    """Draw the winners' score against log P, norm, whiteness and held-out rewards: was the reward bought?"""
    budget = budget or found.budgets[-1]
    rows = found.scored[found.scored["budget"] == budget]
    panels: list[tuple[str, Any]] = [
        ("log P(z)", rows["log_prob"].astype(float)),
        ("norm / sqrt(d)", rows["norm_ratio"].astype(float)),
        ("whiteness, log10 p", np.log10(rows["whiteness"].astype(float).clip(lower=1e-12))),
        *((f"{name} (held out)", rows[f"held_out {name}"].astype(float)) for name in held_out(found)),
    ]
    rows_of_panels = math.ceil(len(panels) / 2)
    figure = _figure(9, 2.7 * rows_of_panels)
    places = np.ravel(figure.subplots(rows_of_panels, 2, sharey=True, squeeze=False))
    for axes, (label, values) in zip(places, panels, strict=False):
        for place, entry in enumerate(found.entries):
            own = rows["entry"] == entry
            axes.scatter(values[own], rows["score"][own], s=14, color=_colour(place), lw=0, alpha=0.8, label=entry)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(label)
        _plain(axes)
    for axes in places[len(panels) :]:
        axes.set_visible(False)
    figure.axes[0].set_ylabel("normalised reward")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8, frameon=False)
    return figure


def held_out(found: "Comparison") -> list[str]:
    """Name the held-out rewards."""
    start = "held_out "
    return [name.removeprefix(start) for name in found.table.columns if name.startswith(start)]


def write_comparison_report(found: "Comparison", out: Path | None = None) -> Path:
    """Write the report; returns where.

    Raises:
        InputError: there is nothing to report yet, or no place to write it.
    """
    if out is None and found.folder is None:
        raise InputError("out must be given for runs that were put together from elsewhere.")
    path = (found.folder or Path()) / "report.html" if out is None else out
    write_text(path, comparison_report(found))
    return path


def comparison_report(found: "Comparison") -> str:
    """Return the report as HTML.

    Raises:
        InputError: no run has an answer yet.
    """
    if found.table.empty:
        raise InputError("comparison must have at least one answered run; it has none yet.")
    budget, e = found.budgets[-1], html.escape
    cells = found.table[["reward", "prompt"]].drop_duplicates()
    seeds = sorted(int(seed) for seed in found.table["seed"].unique())
    title = f"{len(found.entries)} searches compared"
    lead = (
        f"{found.table['reward'].nunique()} rewards x {found.table['prompt'].nunique()} prompts x {len(seeds)} seeds, "
        f"{budget} queries a run"
    )
    said = [str(claim) for claim in found.claims(budget=budget)]
    leader = str(found.summary(budget)["entry"].iloc[0])
    others = [str(claim) for claim in found.claims(leader, budget)] if leader != found.reference else []
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{e(lead)}</p>',
        *(f'<p class="warn">{e(text)}</p>' for text in warnings(found)),
        "<h2>The way there</h2>",
        _plot(curves_figure(found), "curves"),
        f"<h2>At {budget} queries</h2>",
        "<p>Rewards are normalised in each reward and prompt: 0 is the mean best-of-N at the smallest budget, 1 the "
        "best that any run reached. Pairs share prompt, reward and seed; p-values are of sign-flip tests, corrected "
        "for their number (Holm).</p>",
        summary_table(found, budget),
        _plot(improvement_figure(found, budget), "interquartile means"),
        "<h2>What can be said</h2>",
        f"<ul>{''.join(f'<li>{e(text)}</li>' for text in said)}</ul>",
        *([f"<h2>Against {e(leader)}, which is first</h2>"] if others else []),
        f"<ul>{''.join(f'<li>{e(text)}</li>' for text in others)}</ul>" if others else "",
        "<h2>The best image of each</h2>",
        _pictures(found, budget, list(cells.itertuples(index=False))),
        "<h2>Was the reward bought?</h2>",
        "<p>A search that breaks the model leaves the Gaussian's typical set: log P falls, the norm leaves 1, the "
        "spectrum is not white. Held-out rewards were never optimised.</p>",
        _plot(hacking_figure(found, budget), "plausibility"),
        "<h2>What it cost</h2>",
        _costs(found, budget),
        "<h2>How sure a good result is</h2>",
        _plot(profile_figure(found, budget), "performance profiles"),
        "<h2>Every reward and prompt</h2>",
        f"<details><summary>Means</summary>{_means(found, budget)}</details>",
        f"<details><summary>Against best-of-N with as many seconds</summary>{_equal_seconds(found, budget)}</details>",
        "<h2>To repeat it</h2>",
        f"<pre>{e(_recipe(found))}</pre>",
        f"<pre>{e(json.dumps(versions(), indent=1))}</pre>",
    ]
    return page(title, parts)


def card(found: "Comparison") -> str:
    """Return the summary and the curves as a piece of HTML for notebooks."""
    if found.table.empty:
        return "<p>No run has an answer yet.</p>"
    curves = f'<img src="{embedded(curves_figure(found))}" alt="curves" style="max-width:60rem;width:100%">'
    said = "".join(f"<li>{html.escape(str(claim))}</li>" for claim in found.claims())
    return f"{summary_table(found, found.budgets[-1])}<ul>{said}</ul>{curves}"


def warnings(found: "Comparison") -> list[str]:
    """Say what weakens a comparison."""
    table_, notes = found.table, []
    per_cell = table_[table_["budget"] == found.budgets[-1]].groupby(["reward", "prompt", "entry"])["seed"].nunique()
    if len(per_cell) and per_cell.min() < statistics.FEWEST_SEEDS:
        notes.append(
            f"Some entries have {per_cell.min()} seeds for a reward and prompt; "
            f"intervals take {statistics.FEWEST_SEEDS}."
        )
    if found.stopped_early:
        notes.append("Runs that were behind were stopped early. That is for a first look, not for figures to show.")
    if found.unfinished:
        notes.append(found.what_is_left)
    if found.failures:
        name, reason = next(iter(found.failures.items()))
        notes.append(f"{len(found.failures)} runs failed; {name}: {reason}")
    return notes


def summary_table(found: "Comparison", budget: int) -> str:
    """Return the summary as an HTML table."""
    rows = [
        (
            row["entry"],
            str(row["runs"]),
            _interval(row["iqm"], row["iqm_low"], row["iqm_high"]),
            _interval(row["better_than_reference"], row["better_low"], row["better_high"]),
            number(row["rank"]),
            f"{row['feasible']:.0%}",
            number(row["log_prob"]),
        )
        for row in found.summary(budget).to_dict("records")
    ]
    return table(("", "runs", "interquartile mean", "beats best-of-N", "mean rank", "plausible", "log P"), rows)


def _costs(found: "Comparison", budget: int) -> str:
    paid = ("seconds", "strategy_seconds", "nfe", "failed", "cost")
    rows = [(row["entry"], *(number(row[name]) for name in paid)) for row in found.summary(budget).to_dict("records")]
    return table(("of a run, on average", "s", "ask+tell s", "denoiser calls", "failed queries", "cost"), rows)


def _means(found: "Comparison", budget: int) -> str:
    at = found.table[found.table["budget"] == budget]
    wide = at.pivot_table(index="entry", columns=["reward", "prompt"], values="best", aggfunc="mean", sort=True)
    head = ("", *(": ".join(map(str, column)) for column in wide.columns.to_list()))
    return table(head, [(str(entry), *(number(float(value)) for value in row)) for entry, row in wide.iterrows()])


def _equal_seconds(found: "Comparison", budget: int) -> str:
    equal = found.at_equal_seconds(budget)
    if equal.empty:
        return "<p>Best-of-N is not among the runs.</p>"
    rows = [
        (
            row["entry"],
            f"{row['reward']}: {row['prompt']}",
            number(row["seconds"]),
            str(row["draws"]),
            number(row["best"]),
            number(row["best_of_n"]) if math.isfinite(row["best_of_n"]) else "more draws than there are",
        )
        for row in equal.to_dict("records")
    ]
    return table(("", "", "s a run", "draws in that time", "mean best", "best of as many draws, expected"), rows)


def _pictures(found: "Comparison", budget: int, cells: Sequence[Any]) -> str:
    seed = int(found.table["seed"].min())
    blocks, left = [], _MOST_PICTURES
    for reward, prompt in cells:
        own = found.table[(found.table["reward"] == reward) & (found.table["prompt"] == prompt)]
        own = own[(own["seed"] == seed) & (own["budget"] == budget)]
        figures = []
        for row in own.to_dict("records"):
            path = Path(row["folder"]) / "best.png"
            if left and path.exists():
                left -= 1
                caption = f"{row['entry']}: {number(row['best'])} {row['unit']}"
                figures.append(
                    f'<figure><img src="{_small(path)}" alt="{html.escape(row["entry"])}">'
                    f"<figcaption>{html.escape(caption)}</figcaption></figure>"
                )
        if figures:
            blocks.append(f"<h3>{html.escape(reward)}: {html.escape(prompt)}, seed {seed}</h3>")
            blocks.append(f'<div class="grid">{"".join(figures)}</div>')
    return "".join(blocks)


def _recipe(found: "Comparison") -> str:
    if found.folder is None:
        return "zo-dno report " + " ".join(dict.fromkeys(found.table["folder"]))
    plan = (found.folder / "comparison.yaml").read_text()
    return f"zo-dno compare comparison.yaml --out again\n\n# comparison.yaml\n{plan}"


def _small(path: Path) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
        small.thumbnail((192, 192))
        buffer = BytesIO()
        small.save(buffer, "PNG")
    return address(buffer.getvalue())


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _plot(figure: "Figure", label: str) -> str:
    return f'<div class="wide"><img class="plot" src="{embedded(figure)}" alt="{label}"></div>'


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


def _reached(cell: "pd.DataFrame", entry: str, budget: int) -> np.ndarray:
    rows = cell[(cell["entry"] == entry) & (cell["budget"] == budget)]
    return rows["best"].dropna().to_numpy(float)


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
