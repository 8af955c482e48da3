"""What commands print: a version, JSON, little, or much."""

import json
from pathlib import Path

import zo_dno
from zo_dno.strategies import STRATEGIES

RUN = ("run", "--model", "tests.support.toys:prompted", "--reward", "brightness", "--queries", 16, "--threads", 1)


def test_the_version(zo):
    assert zo("--version") == (0, f"zo-dno {zo_dno.__version__}\n", "")


def test_completion_can_be_installed(zo, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    code, output, _ = zo("--show-completion", "bash")
    assert code == 0
    assert "complete_bash" in output


def test_results_as_json(zo):
    assert json.loads(zo("list", "--json")[1])["strategies"].keys() == STRATEGIES.keys()
    code, output, errors = zo(*RUN, "--prompt", "sea\x1b]0;title\x07", "--out", "one", "--json")
    assert (code, errors) == (0, "")
    assert "\x1b" not in output
    (line,) = output.splitlines()
    assert json.loads(line) == {"folder": "one", **json.loads(Path("one/result.json").read_text())}
    shown = json.loads(zo("show", "one", "--json")[1])
    assert (shown["state"], shown["planned"], shown["config"]["prompt"]) == ("finished", 16, "sea\x1b]0;title\x07")
    assert shown.keys() & {"best", "counts", "cost"} == {"best", "counts", "cost"}
    assert "rows" not in shown  # every query, of which `export` makes a table
    assert json.loads(zo("resume", "one", "--queries", 24, "--json")[1])["queries"] == 24
    Path("prompts.txt").write_text("sea\ncity\n")
    found = json.loads(zo(*RUN, "--prompts", "prompts.txt", "--out", "many", "--json")[1])
    assert [one["result"]["prompt"] for one in found] == ["sea", "city"]


def test_a_quiet_command_shows_errors_alone(zo):
    assert zo(*RUN, "--prompt", "sea", "--out", "one", "-q") == (0, "", "")
    code, output, errors = zo("show", "nowhere", "-q")
    assert (code, output) == (2, "")
    assert errors.startswith("Error: ")
    assert "finished" in zo("show", "one")[1]  # it is not quiet for ever


def test_a_verbose_command_shows_where_an_error_arose(zo):
    code, _, errors = zo("show", "nowhere", "-v")
    assert code == 2
    assert "Traceback" in errors
    assert errors.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in zo("show", "nowhere")[2]
    hostile = zo("show", "no\x1b]0;title\x07where", "-v")[2]
    assert "Traceback" in hostile
    assert "\x1b" not in hostile


def test_a_default_reward_is_named(zo):
    words = [word for word in RUN if word not in ("--reward", "brightness")]
    assert zo(*words, "--prompt", "sea", "--out", "one")[1].startswith("reward: jpeg_smaller, the default")
    assert "the default" not in zo(*RUN, "--prompt", "sea", "--out", "two")[1]


def test_quiet_and_verbose_exclude_each_other(zo):
    code, _, errors = zo("show", "nowhere", "-q", "-v")
    assert (code, errors) == (2, "Error: quiet must be left out with verbose; got both. Give one of them.\n")
