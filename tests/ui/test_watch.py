"""The command `zo-dno watch`, and a real run that is stopped and resumed as its page does it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import fake_tune
from tests.support.clocks import PATIENCE
from tests.support.held import RESULTS
from tests.ui.test_signals import rows
from zo_dno.errors import InputError
from zo_dno.ui.cli.watch import watch
from zo_dno.watch.process import Processes, holder

ROOT = Path(__file__).parents[2]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="run must be the folder of a run"):
        watch([tmp_path])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to know a process for sure")
def test_a_real_run_is_stopped_and_resumed(zo, toy_words, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder, processes = Path("here").resolve(), Processes()
    words = [*map(str, toy_words), "--reward", "my_rewards:slow", "--queries", "10000", "--out", str(folder)]
    run = [sys.executable, "-m", "zo_dno", "run", *words]  # no fork of a test: the page knows a command by its words
    process = subprocess.Popen(run, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while rows(folder / "ledger.db") < 16 and process.poll() is None:
        time.sleep(0.05)
    processes.stop(folder)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
    before = rows(folder / "ledger.db")
    processes.resume(folder)
    until = time.monotonic() + PATIENCE
    while rows(folder / "ledger.db") <= before and time.monotonic() < until:
        assert not processes.failure(folder)
        time.sleep(0.1)
    assert holder(folder).pid not in (None, os.getpid())
    processes.stop(folder)
    while processes.is_starting(folder) and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes.failure(folder)
    assert json.loads((folder / "result.json").read_text())["queries"] > before


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc to know a process for sure")
def test_a_real_comparison_is_stopped_and_resumed(zo, monkeypatch):
    """On Ray: one process works on all of its runs. Its reward stands still once one of two runs is finished."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    folder, processes = Path("compared").resolve(), Processes()
    plan = {"strategies": ["random_search"], "prompts": ["a cat"], "rewards": ["tests.support.held:brightness"]}
    plan |= {"model": "tests.support.toys:prompted", "seeds": 2, "queries": 16, "batch_size": 8}
    Path("plan.yaml").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "zo_dno", "compare", "plan.yaml", "--out", str(folder), "--at-once", "1"]
    held = os.environ | {RESULTS: f"1:{folder}"}
    process = subprocess.Popen(command, env=held, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while len(list(folder.glob("runs/*/config.yaml"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    assert holder(folder).interrupt is not None
    processes.stop(folder)
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert holder(folder) is None
    (first,) = (path.parent for path in folder.glob("runs/*/result.json"))
    ledger = (first / "ledger.db").read_bytes()
    until = time.monotonic() + PATIENCE
    while any(holder(path.parent) for path in folder.glob("runs/*/config.yaml")) and time.monotonic() < until:
        time.sleep(0.05)  # Ray ends its actors after the command
    fake_tune.put_in_place(monkeypatch)  # which saves the seconds of a second Ray
    code, output, errors = zo("resume", folder)
    assert code == 0, (output, errors)
    assert [rows(path) for path in folder.glob("runs/*/ledger.db")] == [16, 16]
    assert (first / "ledger.db").read_bytes() == ledger
