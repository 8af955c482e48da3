"""Analyses of comparisons: best-of-N at equal time, and what is left to run."""

import pandas as pd
import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.report import card, comparison_report
from zo_dno.comparison.table import COLUMNS
from zo_dno.ui import display


def put_together(folder, first, second):
    """Make a run of best-of-N and one of snes with options of their own, and put them side by side."""
    for name, options in (("random_search", first), ("snes", second)):
        zo_dno.optimize(ToyGenerator(), "brightness", name, threads=1, out=folder / name, **{"queries": 16, **options})
    return zo_dno.Comparison.of_runs([folder / "random_search", folder / "snes"])


@pytest.mark.parametrize(
    ("first", "second", "entries"),
    [
        ({"seed": 0}, {"seed": 1}, ["random_search", "snes"]),
        ({"queries": 16}, {"queries": 32}, ["snes"]),
        (*[{"require": ["brightness >= 1"]}] * 2, ["random_search", "snes"]),
    ],
    ids=["other seeds", "other budgets", "nothing feasible"],
)
def test_entries_without_common_pairs_are_shown_without_a_comparison(tmp_path, capsys, first, second, entries):
    found = put_together(tmp_path, first, second)
    summary = found.summary().set_index("entry")
    assert sorted(summary.index) == entries
    assert summary.loc["snes", ["better_than_reference", "better_low", "better_high"]].isna().all()
    assert found.claims() == []
    assert ">-<" in card(found)
    display.comparison(found)
    assert "nan" not in capsys.readouterr().out


def test_a_report_says_that_nothing_can_be_compared(tmp_path):
    found = put_together(tmp_path, *[{"require": ["brightness >= 1"]}] * 2)
    assert "no two searches have runs with winners of the same reward, prompt and seed" in comparison_report(found)


def test_a_budget_or_entry_that_is_not_there_is_refused(found):
    for read in (found.summary, found.at_equal_seconds, lambda budget: found.claims(budget=budget)):
        with pytest.raises(InputError, match="budget must be one of 16, 32, 48; got 20"):
            read(20)
    with pytest.raises(InputError, match="entry 'sness' is unknown. Did you mean 'snes'"):
        found.claims("sness")


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame(columns=list(COLUMNS))])
def test_a_comparison_without_an_answer_is_refused(table):
    found = Analysis(table)
    for read in (found.summary, found.claims, found.at_equal_seconds, lambda: found.reference, lambda: found.budgets):
        with pytest.raises(InputError, match="comparison must have a run with a completed query; it has none yet"):
            read()


def test_no_runs_cannot_be_put_together():
    with pytest.raises(InputError, match="folders must name at least one run; got none"):
        zo_dno.Comparison.of_runs([])


def test_a_run_whose_time_is_not_known_is_not_compared_at_equal_time(found):
    table = found.table.copy()
    table.loc[table["entry"] == "snes", "seconds"] = float("nan")
    assert set(Analysis(table).at_equal_seconds()["entry"]) == {"random_search", "climb"}


def test_best_of_n_has_its_own_draws_at_equal_time(found):
    equal = found.at_equal_seconds()
    own = equal[equal["entry"] == "random_search"]
    assert len(equal) == 3 * 2 * 2
    assert list(own["draws"]) == [48] * 4


def test_the_command_that_resumes_a_comparison_is_named(tmp_path):
    table = pd.DataFrame()
    assert Analysis(table, tmp_path, unfinished=1).what_is_left == (
        f"1 run is not finished. Resume: zo-dno compare {tmp_path / 'comparison.yaml'} --out {tmp_path}"
    )
    assert Analysis(table, unfinished=2).what_is_left == "2 runs are not finished."
