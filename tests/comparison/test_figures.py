"""Figures of comparisons: a panel for each reward and prompt, a line for each entry."""

import io
from itertools import product

import numpy as np
import pytest

from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.figures import curves_figure, hacking_figure, improvement_figure, profile_figure
from zo_dno.comparison.table import COLUMNS, table_of

ENTRIES = ("random_search", "cmaes", "snes")


@pytest.fixture(scope="module")
def found():
    rng = np.random.default_rng(0)
    noise = {"log_prob": -1.0, "norm_ratio": 1.0, "whiteness": 0.5, "feasible": True}
    cost = {"seconds": 1.0, "strategy_seconds": 0.1, "nfe": 64, "failed": 0, "cost": 0.0}
    return Analysis(
        table_of(
            [
                {
                    **dict.fromkeys(COLUMNS),
                    "statistic": "best reward",
                    "entry": entry,
                    "reward": reward,
                    "prompt": "p",
                    "seed": seed,
                    "budget": budget,
                    "unit": "kB",
                }
                | {"best": rng.normal() + budget / 16, "held_out contrast": rng.normal(), **noise, **cost}
                for entry, reward, seed, budget in product(ENTRIES, ("a", "b"), range(3), (16, 32))
            ]
        )
    )


def test_curves_have_a_panel_for_each_cell_and_a_line_for_each_entry(found):
    panels = curves_figure(found).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["a: p", "b: p"]
    for panel in panels:
        assert [line.get_label() for line in panel.lines] == list(ENTRIES)
    own = found.table[(found.table["entry"] == "snes") & (found.table["reward"] == "b")]
    assert list(panels[1].lines[2].get_ydata()) == pytest.approx(list(own.groupby("budget")["best"].mean()))


@pytest.mark.parametrize("figure", [curves_figure, improvement_figure, profile_figure, hacking_figure])
def test_texts_of_others_are_shown_as_they_are(found, figure):
    """Unlike mathematics, which spends a comparison before its figures fail."""
    names = {"random_search": "$$", "cmaes": "$_$", "snes": "_hidden", "a": "$5}$", "p": "price $5{ to $6", "kB": "$}$"}
    table = found.table.replace(names).rename(columns={"held_out contrast": "held_out $$"})
    made = figure(Analysis(table, baseline="$$"))
    made.savefig(io.BytesIO(), dpi=20)
    for legend in made.legends:
        assert [label.get_text() for label in legend.get_texts()] == ["$$", "$_$", "_hidden"]


@pytest.mark.parametrize("figure", [curves_figure, improvement_figure, profile_figure, hacking_figure])
def test_on_a_phone_panels_are_below_each_other(found, figure):
    made = figure(found, narrow=True)
    assert made.get_figwidth() < 5
    places = [axes.get_subplotspec() for axes in made.axes]
    assert {place.colspan.start for place in places} == {0}


def test_the_legend_has_entries_that_the_first_panel_lacks(found):
    table = found.table[(found.table["entry"] != "snes") | (found.table["reward"] == "b")]
    (legend,) = curves_figure(Analysis(table)).legends
    assert [label.get_text() for label in legend.get_texts()] == list(ENTRIES)


def test_improvement_names_the_entries_the_best_on_top(found):
    left = improvement_figure(found).axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == list(found.summary()["entry"])[::-1]


def test_profiles_fall_from_all_runs_to_none(found):
    (axes,) = profile_figure(found).axes
    assert len(axes.lines) == len(ENTRIES)
    for line in axes.lines:
        assert (np.diff(line.get_ydata()) <= 0).all()
        assert line.get_ydata()[-1] == 0


def test_hacking_has_a_point_for_each_run_and_a_panel_for_each_held_out_reward(found):
    panels = hacking_figure(found).axes
    assert [panel.get_xlabel() for panel in panels][-1] == "contrast (held out)"
    assert all(sum(len(one.get_offsets()) for one in panel.collections) == 18 for panel in panels)
