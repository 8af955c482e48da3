"""Real processes that get a signal or are killed."""

import contextlib
import json
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from tests.support.forked import Forked

SLEEPER = "import sys, time; time.sleep(float(sys.argv[1])); print(len(sys.argv[2]))"


def begun(words, enough):
    """Start a command in a process of its own, with a temporary folder as long as a scheduler's, and wait."""
    Path("temporary").mkdir()
    process = Forked(("run", *words, "--out", "here"), TMPDIR=str(Path("temporary").resolve()))
    while not enough() and process.poll() is None:
        time.sleep(0.05)
    return process


_HERE, _WORKERS = (), ("--workers", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "more"),
    [
        *((number, _HERE) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)),
        *(pytest.param(number, _WORKERS, marks=pytest.mark.ray) for number in (signal.SIGINT, signal.SIGTERM)),
    ],
    ids=lambda one: one.name if isinstance(one, signal.Signals) else "workers" if one else "here",
)
def test_a_signal_to_a_real_process_keeps_everything(zo, toy_words, number, more):
    """Of the signals, Ray handles the first two itself."""
    words = (*toy_words, "--reward", "my_rewards:slow", "--queries", 10_000, *more)
    process = begun(words, lambda: rows(Path("here", "ledger.db")) >= 16)
    process.send_signal(number)
    assert process.wait() == 130, process.output
    result = json.loads(Path("here", "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["queries"] == rows(Path("here", "ledger.db")) >= 16
    assert Path("here", "best.png").exists()
    assert "Traceback" not in process.output


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "signals"), [(1, 1), (600, 2)], ids=["short calls", "twice"])
def test_sigterm_leaves_no_program_and_no_temporary_file(zo, toy_words, seconds, signals):
    """Calls in flight are waited for, paid as they are; a second signal kills their programs."""
    Path("sleeper.py").write_text(SLEEPER)
    command = f"{sys.executable} {Path('sleeper.py').resolve()} {seconds} {{image}}"
    words = (*toy_words, "--reward", "command", "--reward-option", f"command={command}", "--timeout", 1000)
    process = begun(words, lambda: len(programs("sleeper.py")) > 0)
    process.terminate()
    if signals == 2:
        time.sleep(0.5)
        process.terminate()
        if process.wait(60) is None:  # both came together, which counts as one
            process.terminate()
    assert process.wait() not in (None, 0, -signal.SIGTERM), process.output
    assert "Traceback" not in process.output
    assert not programs("sleeper.py")
    assert not list(Path("temporary").glob("zo-dno-*"))


def programs(word):
    """Return the command lines of processes that hold a file of this folder."""
    path, found = str(Path(word).resolve()).encode(), []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended
            found.append(line.read_bytes().split(b"\0"))
    return [words for words in found if path in words]


def rows(ledger):
    if not ledger.exists():
        return 0
    with sqlite3.connect(ledger, timeout=10) as connection:
        try:
            return connection.execute("SELECT count(*) FROM query").fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


@pytest.mark.slow
def test_a_killed_run_is_shown_and_gone_on_with(zo, toy_words):
    """A real process of a free reward is killed while it stands still: at most the population in flight is lost."""
    hold = Path("hold").resolve()
    options = ("--reward", "tests.support.held:Held", "--reward-option", f"hold={hold}", "--queries", 48, "--seed", 5)
    options = (*options, "--strategy-option", "population=8")
    assert zo("run", *toy_words, *options, "--out", "whole")[0] == 0
    hold.touch()
    process = Forked(("run", *toy_words, *options, "--out", "here"))
    while rows(Path("here", "ledger.db")) < 16 and process.poll() is None:
        time.sleep(0.05)
    code, output, _ = zo("show", "here")
    assert code == 0
    assert "in progress" in output
    process.kill()
    process.wait()
    hold.unlink()
    code, output, _ = zo("show", "here")
    assert "a cat: stopped" in output
    assert "resume with: zo-dno resume here" in output
    assert zo("resume", "here")[0] == 0
    one, two = (json.loads(Path(name, "result.json").read_text()) for name in ("whole", "here"))
    del one["seconds"], two["seconds"]
    assert one == two
    for name in ("first.png", "best.png", "strip.png", "progress.png"):
        assert Path("whole", name).read_bytes() == Path("here", name).read_bytes()
    assert "a cat: finished" in zo("show", "here")[1]
