"""The state of a run's folder."""

import json

import pytest

from zo_dno.errors import InputError
from zo_dno.results.state import RunState, result_of
from zo_dno.storage.run_folder import RunFolder


def write(folder, **result):
    (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize("status", ["finished", "target", "interrupted", "paused", "infeasible"])
def test_a_run_with_a_result_is_in_the_state_of_its_result(tmp_path, status):
    write(tmp_path, status=status)
    state = RunState.of(tmp_path)
    assert state.name == status
    assert state.ended == (status in ("finished", "target", "infeasible"))


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_run_without_a_whole_result_is_stopped(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    state = RunState.of(tmp_path)
    assert state.name == "stopped"
    assert not state.ended
    assert not state.answered(0)
    assert not state.spent_another_budget
    with pytest.raises(InputError, match="no result yet .* Finish it: zo-dno resume"):
        result_of(tmp_path)


def test_a_run_that_a_process_works_on_is_in_progress(tmp_path):
    with RunFolder(tmp_path / "run"):
        assert RunState.of(tmp_path / "run").name == "in progress"


@pytest.mark.parametrize(
    ("stopped_by", "expected"), [(None, False), ("queries", False), ("cost", True), ("seconds", True), ("nfe", True)]
)
def test_another_budget_than_queries_may_end_a_run(tmp_path, stopped_by, expected):
    write(tmp_path, status="finished", stopped_by=stopped_by, queries=24)
    state = RunState.of(tmp_path)
    assert state.spent_another_budget == expected
    assert state.answered(24)
    assert not state.answered(25)
