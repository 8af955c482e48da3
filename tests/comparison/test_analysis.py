"""Analyses of comparisons: best-of-N at equal time, and what is left to run."""

import pandas as pd

from zo_dno.comparison.analysis import Analysis


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
