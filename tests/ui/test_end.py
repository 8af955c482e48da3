"""How a command of many prompts ends: its exit code says whether every run ended by itself."""

import pytest
import typer

from zo_dno.run.many_prompts import Line
from zo_dno.ui.cli.end import end_many


def line(status, folder):
    best = {"reward": 2.0, "log_prob": -1.0}
    found = {"status": status, "queries": 8, "first": {"reward": 1.0}, "best": best, "unit": "", "cost": 0.0}
    return Line("sea", folder, found if status else None)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["finished", "target", "infeasible"], 0),
        (["finished", "paused"], 1),
        (["finished", "stopped"], 1),
        ([None, "finished"], 1),
        (["paused", "interrupted", None], 130),
    ],
)
def test_the_exit_code_of_many_prompts(tmp_path, statuses, code):
    found = 0
    try:
        end_many([line(status, tmp_path) for status in statuses], tmp_path)
    except typer.Exit as end:
        found = end.exit_code
    assert found == code


def test_a_prompt_that_fails_fails_the_command(zo, own):
    code, output, _ = zo("run", *own, "--reward", "tests.support.light_reward:of_the_sea", "--prompts", "prompts.txt")
    assert code == 1
    assert "1 not finished; resume with: zo-dno resume runs/latest" in output
    assert zo("resume", "runs/latest")[0] == 1
