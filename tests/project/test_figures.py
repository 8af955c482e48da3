"""Measured figures: every benchmark that a document quotes has an entry of what it measures, and its age is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import figures, tables

ROOT = Path(__file__).parents[2]


def test_every_benchmark_that_a_document_quotes_measures_something_that_exists():
    assert set(figures.named()) <= set(figures.MEASURED) | {"figures"}
    for name, folders in figures.MEASURED.items():
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name
        assert all((ROOT / folder).exists() for folder in folders)
        for folder in (*folders, *tables.CODE):
            assert (ROOT / folder).resolve() == ROOT.resolve() / folder, "git does not follow links"


def test_committed_lines_are_whole():
    for line in figures.latest().values():
        assert {"benchmark", "command", "commit", "changed", "date", "hardware", "figures"} == line.keys()
        assert line["command"].startswith(f"python -m benchmarks.{line['benchmark']}")
        assert not line["changed"], f"{line['command']} measured code that was not committed"


@pytest.fixture
def git(tmp_path):
    """Run git in a small repository."""

    def run(*words):
        return subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q")
    run("config", "user.email", "someone@example.org")
    run("config", "user.name", "Someone")
    return run


@pytest.mark.parametrize("folder", tables.CODE)
def test_a_line_says_whether_the_code_was_changed(folder, git, tmp_path, monkeypatch):
    code, records = tmp_path / folder / "a.py", tmp_path / "benchmarks" / "results" / "figures.jsonl"
    for path in (code, records):
        path.parent.mkdir(parents=True)
        path.touch()
    git("add", "-A")
    git("commit", "-qm", "first")
    monkeypatch.setattr(tables, "RECORDS", records)
    for text in ("", "1\n"):
        code.write_text(text)
        tables.record({})
    assert [json.loads(line)["changed"] for line in records.read_text().splitlines()] == [False, True]


def test_changes_are_counted_in_the_folders_that_a_benchmark_measures(git, tmp_path, monkeypatch):
    (tmp_path / "zo_dno" / "oracle").mkdir(parents=True)
    (tmp_path / "zo_dno" / "oracle" / "a.py").write_text("1\n2\n3\n")
    (tmp_path / "zo_dno" / "b.py").write_text("1\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    first = git("rev-parse", "HEAD")
    (tmp_path / "zo_dno" / "oracle" / "a.py").write_text("1\n2\n4\n5\n")
    (tmp_path / "zo_dno" / "b.py").write_text("2\n")
    git("commit", "-qam", "second")
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "RECORDS", tmp_path / "figures.jsonl")
    assert figures.changed_since(first, ("zo_dno/oracle",)) == 3
    assert figures.changed_since(git("rev-parse", "HEAD"), ("zo_dno/oracle",)) == 0
    assert figures.changed_since("0" * 40, ("zo_dno/oracle",)) is None


def test_figures_are_recorded_with_command_commit_and_hardware(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "RECORDS", tmp_path / "figures.jsonl")
    monkeypatch.setattr(sys, "argv", ["benchmarks/throughput.py", "--images", "8"])
    tables.show("title", ["a"], [["b"]], {"ratio": 1.0})
    assert not (tmp_path / "figures.jsonl").exists()
    monkeypatch.setenv("RECORD", "1")
    tables.show("title", ["a"], [["b"]], {"ratio": 1.0})
    (line,) = (tmp_path / "figures.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert found["command"] == "python -m benchmarks.throughput --images 8"
    assert found["figures"] == {"ratio": 1.0}
    assert " x " in found["hardware"]


def test_a_file_of_runs_is_as_old_as_its_last_commit(git, tmp_path, monkeypatch):
    file = tmp_path / "fronts.jsonl"
    monkeypatch.setattr(tables, "RECORDS", tmp_path / "figures.jsonl")
    monkeypatch.setattr(figures, "RECORDS", tmp_path / "figures.jsonl")
    for hardware in ("one", "two"):
        file.write_text(json.dumps({"hardware": hardware}) + "\n")
        git("add", "-A")
        git("commit", "-qm", hardware)
    (tmp_path / "code.py").touch()
    last = git("rev-parse", "HEAD")
    git("add", "-A")
    git("commit", "-qm", "later")
    (found,) = figures.of_runs().values()
    assert (found["commit"], found["hardware"]) == (last, "two")


@pytest.mark.parametrize("words", [[sys.executable, "-m", "benchmarks.figures"]])
def test_the_check_says_which_figures_have_aged(words):
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in figures.named():
        assert name in said
