"""Stopping and resuming runs from the page."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.support.clocks import PATIENCE
from zo_dno.errors import InputError
from zo_dno.storage.folder_lock import LOCK, FolderLock
from zo_dno.watch.process import Processes, holder

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to know a process for sure")
WORKS = """
import sys, time, signal, pathlib
from zo_dno.storage.folder_lock import FolderLock
signal.signal(signal.SIGINT, signal.SIG_IGN if "deaf" in sys.argv else signal.default_int_handler)
with FolderLock(pathlib.Path(sys.argv[2])):
    try:
        print("locked", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def working(folder, *words):
    process = subprocess.Popen(
        [sys.executable, "-c", WORKS, "zo-dno", str(folder), *words], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_command_of_this_user_is_stopped_once(tmp_path):
    assert holder(tmp_path) is None
    process, processes = working(tmp_path), Processes()
    found = holder(tmp_path)
    assert (found.pid, found.interrupt) == (process.pid, signal.SIGINT)
    processes.stop(tmp_path)
    assert process.communicate(timeout=PATIENCE)[0] == "stopped\n"
    assert holder(tmp_path) is None
    assert not processes.is_stopping(tmp_path)
    processes.stop(tmp_path)  # nothing to stop, and no error


def test_another_process_is_never_stopped(tmp_path):
    with FolderLock(tmp_path):  # of this process, which is no command of zo-dno
        assert "notebook or a program" in holder(tmp_path).reason
        (tmp_path / LOCK).write_text("process 1\n")  # of another machine, say, or used again
        assert "another machine" in holder(tmp_path).reason
        (tmp_path / LOCK).write_text("process ../1\n")
        assert holder(tmp_path).interrupt is None
        with pytest.raises(InputError, match="Ctrl-C"):
            Processes().stop(tmp_path)


def test_a_process_that_ignores_ctrl_c_is_left_alone(tmp_path):
    process = working(tmp_path, "deaf")
    try:
        assert "ignores Ctrl-C" in holder(tmp_path).reason
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_cannot_be_resumed_says_why(tmp_path, monkeypatch):
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\necho "resuming"\necho "Error: <b>$*</b>"\nread line && exit 0\nexit 2\n')
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    folder, processes = tmp_path / "-run", Processes()
    folder.mkdir()
    processes.resume(folder)
    until = time.monotonic() + PATIENCE
    while processes.is_starting(folder) and time.monotonic() < until:
        time.sleep(0.01)
    assert processes.failure(folder) == f"It could not be resumed: Error: <b>-m zo_dno resume {folder}</b>"
    with FolderLock(folder), pytest.raises(InputError, match="in progress already"):
        processes.resume(folder)
    assert processes.failure(folder)
