"""The report of a comparison: one HTML file that needs no other."""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.comparison import statistics
from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.figures import curves_figure, hacking_figure, improvement_figure, profile_figure
from zo_dno.comparison.plan import PLAN
from zo_dno.comparison.sets import PICTURES, compared_by, set_cells, set_columns, sets_table
from zo_dno.comparison.several import REWARD
from zo_dno.errors import InputError
from zo_dno.results.environment import versions
from zo_dno.results.markup import Table, address, drawing, embedded, number, share, templates, write_figures
from zo_dno.results.verdict import LOST
from zo_dno.storage.atomic import write_text
from zo_dno.storage.images import decoded, png_bytes

if TYPE_CHECKING:
    from zo_dno.results.plot import Plot

_MAX_PICTURES = 60  # in the grid: more would make the file large
_SIDE, _SIDE_OF_SHEETS = 192, 384  # pixels at most
_templates = templates("zo_dno.comparison")


def write_comparison_report(found: Analysis, out: Path | None = None, *, figures: str | None = None) -> Path:
    """Write the report; returns its path.

    Args:
        found: Runs of the comparison.
        out: Path of the report; `report.html` in the comparison's folder by default.
        figures: Kind of the files "svg", "pdf" or "png" in which the figures are written, too, into the folder
            `figures` beside the report; None for none.
    Raises:
        InputError: There is nothing to report yet, or no place to write it.
        StorageError: A file could not be written.
    """
    if out is None and found.folder is None:
        raise InputError("out must be given for runs that were put together from elsewhere.")
    path = (found.folder or Path()) / "report.html" if out is None else out
    write_text(path, comparison_report(found))
    if figures is not None:
        write_figures(_figures(found, found.budget()), path, figures)
    return path


def comparison_report(found: Analysis) -> str:
    """Return the report as HTML.

    Raises:
        InputError: No run has a completed query yet.
    """
    budget = found.budget()
    leader = str(found.summary(budget)["entry"].iloc[0])
    return _templates.get_template("report.html").render(
        title=f"{len(found.entries)} searches compared",
        n_rewards=found.table["reward"].nunique(),
        n_prompts=found.table["prompt"].nunique(),
        n_seeds=found.table["seed"].nunique(),
        budget=budget,
        compared_by=compared_by(found),
        warnings=warnings(found),
        **{name: drawing(make) for name, make in _figures(found, budget).items()},
        summary=summary_table(found, budget),
        claims=found.claims(budget=budget),
        leader=leader,
        leader_claims=found.claims(leader, budget) if leader != found.reference else [],
        pictures=_pictures(found, budget),
        costs=_costs(found, budget),
        sets=sets_table(found, budget),
        means=_means(found, budget),
        equal_seconds=_equal_seconds(found, budget),
        command=_command(found),
        plan="" if found.folder is None else (found.folder / PLAN).read_text(encoding="utf-8"),
        versions=json.dumps(versions(), indent=1),
    )


def _figures(found: Analysis, budget: int) -> "dict[str, Callable[..., Plot]]":
    return {
        "curves": partial(curves_figure, found),
        "improvement": partial(improvement_figure, found, budget),
        "profiles": partial(profile_figure, found, budget),
        "plausibility": partial(hacking_figure, found, budget),
    }


def card(found: Analysis) -> str:
    """Return the summary and the curves as a piece of HTML for notebooks."""
    if found.table.empty:
        return "<p>No run has a completed query yet.</p>"
    return _templates.get_template("card.html").render(
        summary=summary_table(found, found.budgets[-1]),
        warnings=hacked(found),
        claims=found.claims(),
        curves=embedded(curves_figure(found)),
    )


def warnings(found: Analysis) -> list[str]:
    """Return what weakens a comparison, a sentence each."""
    table, notes = found.table, []
    per_cell = table[table["budget"] == found.budgets[-1]].groupby(["reward", "prompt", "entry"])["seed"].nunique()
    if len(per_cell) and per_cell.min() < statistics.FEWEST_SEEDS:
        notes.append(
            f"Some entries have {per_cell.min()} seeds for a reward and prompt; "
            f"intervals take {statistics.FEWEST_SEEDS}."
        )
    notes += hacked(found)
    if found.stopped_early:
        notes.append("Runs that were behind were stopped early. That is for a first look, not for figures to show.")
    if found.unfinished:
        notes.append(found.what_is_left)
    if found.failures:
        name, reason = next(iter(found.failures.items()))
        notes.append(f"{len(found.failures)} runs failed; {name}: {reason}")
    return notes


def hacked(found: Analysis) -> list[str]:
    """Return which entries' winners lost much of a held-out reward or are implausible, a sentence each."""
    notes = []
    for row in found.summary().to_dict("records"):
        if row["feasible"] < 1:
            notes.append(
                f"{share(1 - row['feasible'])} of the winners of {row['entry']} are not plausible as draws of a "
                "Gaussian: their rewards may be bought with odd noise."
            )
        for name, (first, best) in zip(found.held_out, _held_out_pairs(found, row), strict=True):
            if row[f"lost {name}"] > LOST:
                lost = f"{row['entry']} lost {share(row[f'lost {name}'])} of {name} (held out) on average"
                notes.append(
                    f"{lost}, from {first} to {best}: its winners may fool the reward instead of being better."
                )
    return notes


def held_out_cells(found: Analysis, row: Mapping[Hashable, Any]) -> list[str]:
    """Return the cells of the held-out rewards in a row of the summary: means of candidate 0 and of the winner."""
    return [f"{first} → {best}" for first, best in _held_out_pairs(found, row)]


def _held_out_pairs(found: Analysis, row: Mapping[Hashable, Any]) -> list[tuple[str, str]]:
    return [(number(row[f"held_out_first {name}"]), number(row[f"held_out {name}"])) for name in found.held_out]


def summary_table(found: Analysis, budget: int) -> Table:
    """Return the summary as a table."""
    rows = [
        (
            row["entry"],
            str(row["runs"]),
            _interval(row["iqm"], row["iqm_low"], row["iqm_high"]),
            _interval(row["better_than_reference"], row["better_low"], row["better_high"]),
            number(row["rank"]),
            share(row["feasible"]),
            number(row["log_prob"]),
            *set_cells(found, row),
            *held_out_cells(found, row),
        )
        for row in found.summary(budget).to_dict("records")
    ]
    head = ("", "runs", "interquartile mean", "beats best-of-N", "mean rank", "plausible", "log P")
    return Table((*head, *set_columns(found), *(f"{name}, held out" for name in found.held_out)), rows)


def _costs(found: Analysis, budget: int) -> Table:
    paid = ("seconds", "strategy_seconds", "nfe", "failed", "cost")
    rows = [(row["entry"], *(number(row[name]) for name in paid)) for row in found.summary(budget).to_dict("records")]
    return Table(("of a run, on average", "s", "ask+tell s", "denoiser calls", "failed queries", "cost"), rows)


def _means(found: Analysis, budget: int) -> Table:
    at = found.table[found.table["budget"] == budget]
    wide = at.pivot_table(index="entry", columns=["reward", "prompt"], values="best", aggfunc="mean", sort=True)
    head = ("", *(": ".join(map(str, column)) for column in wide.columns.to_list()))
    return Table(head, [(str(entry), *(number(float(value)) for value in row)) for entry, row in wide.iterrows()])


def _equal_seconds(found: Analysis, budget: int) -> Table | None:
    """Return the comparison at equal time as a table; None without runs of best-of-N."""
    equal = found.at_equal_seconds(budget)
    if equal.empty:
        return None
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
    return Table(("", "", "s a run", "draws in that time", "mean best", "best of as many draws, expected"), rows)


def _pictures(found: Analysis, budget: int) -> list[tuple[str, list[dict[str, str]]]]:
    """Return a title and the best images of the smallest seed, for each reward and prompt."""
    seed = int(found.table["seed"].min())
    shown = found.table[(found.table["seed"] == seed) & (found.table["budget"] == budget)]
    groups, left = [], _MAX_PICTURES
    for (reward, prompt), own in shown.groupby(["reward", "prompt"], sort=False):
        pictures = []
        for row in own.to_dict("records"):
            path = Path(row["folder"]) / PICTURES[row["statistic"]]
            if left and path.exists():
                left -= 1
                caption = f"{row['entry']}: {number(row['best'])} {row['unit']}"
                side = _SIDE if row["statistic"] == REWARD else _SIDE_OF_SHEETS
                pictures.append({"address": _thumbnail(path, side), "entry": row["entry"], "caption": caption})
        if pictures:
            groups.append((f"{reward}: {prompt}, seed {seed}", pictures))
    return groups


def _command(found: Analysis) -> str:
    if found.folder is None:
        return "zo-dno report " + " ".join(dict.fromkeys(found.table["folder"]))
    return f"zo-dno compare {PLAN} --out again"


def _thumbnail(path: Path, side: int) -> str:
    small = decoded(path, formats=("PNG",))
    small.thumbnail((side, side))
    return address(png_bytes(small))


def _interval(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"
