"""The state of a run's folder."""

import json
from typing import Any

import pytest

from zo_dno.errors import InputError
from zo_dno.results.state import RunState
from zo_dno.results.stored import result_of
from zo_dno.storage.run_folder import RunFolder

WHOLE: dict[str, Any] = {
    **dict.fromkeys(("status", "prompt", "model", "reward", "unit", "strategy"), "text"),
    **dict.fromkeys(("seed", "queries", "nfe", "failed_queries", "cached_queries", "tokens"), 0),
    "stopped_by": None,
    "cost": 0.0,
    "drift": None,
    "first": {"reward": 1.0},
    "top": [],
    "held_out": {},
    "baseline": None,
    "seconds": {"total": 1.0},
    "best": {
        "id": 1,
        "reward": 2.0,
        "log_prob": 0.0,
        "norm_ratio": 1,
        "whiteness": 0.5,
        "feasible": True,
        "image": "a",
    },
}


def write(folder, **result):
    (folder / "result.json").write_text(json.dumps(WHOLE | result))


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
    assert not state.has_completed(0)
    assert not state.spent_another_budget
    with pytest.raises(InputError, match="(no result yet .* Finish it|is damaged .* Write it again): zo-dno resume"):
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
    assert state.has_completed(24)
    assert not state.has_completed(25)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "the whole: Input should be"),
        ("3", "the whole: Input should be"),
        (json.dumps(WHOLE | {"seed": "<script>alert(1)</script>"}), "seed: Input should be a valid integer"),
        (json.dumps(WHOLE | {"queries": 2.5}), "queries: Input should be a valid integer"),
        (json.dumps(WHOLE | {"best": None}), "best: Input should be"),
        (json.dumps(WHOLE | {"best": WHOLE["best"] | {"log_prob": float("nan")}}), r"best\.log_prob: .* finite"),
        (json.dumps({name: value for name, value in WHOLE.items() if name != "seconds"}), "seconds: Field required"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
    ids=["list", "number", "seed", "queries", "best", "NaN", "lacks", "deep"],
)
def test_a_result_of_another_form_is_damaged(tmp_path, content, said):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=rf"result\.json is damaged \({said}") as caught:
        result_of(tmp_path)
    assert "script" not in str(caught.value)
