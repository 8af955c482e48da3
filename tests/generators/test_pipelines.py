"""Every family of pipelines with every scheduler that it may have, and the table of them in docs/pipelines.md."""

import pytest

from tests.support.zoo.check import check
from tests.support.zoo.documented import PAGE, documented, written
from tests.support.zoo.table import CASES, CORE

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers', of schedulers' configs
ROWS = documented(PAGE.read_text())


@pytest.mark.parametrize(
    ("family", "scheduler"), [pytest.param(*case, marks=() if case in CORE else pytest.mark.slow) for case in CASES]
)
@pytest.mark.fast_cases(5)
def test_a_replay_is_the_pipelines_own_output_and_the_table_says_what_it_draws(family, scheduler):
    assert check(family, scheduler).row() in ROWS


def test_the_table_has_a_row_for_every_case_and_no_other():
    cells = [[cell.strip() for cell in row.split("|")] for row in ROWS]
    assert [(row[1], row[2]) for row in cells] == CASES


def test_the_page_is_as_the_command_writes_it():
    assert written(PAGE.read_text(), ROWS) == PAGE.read_text()


def test_every_scheduler_is_checked_with_some_family_in_every_run():
    assert {scheduler for _, scheduler in CORE} == {scheduler for _, scheduler in CASES}
