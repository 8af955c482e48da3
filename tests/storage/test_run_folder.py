"""The folder of a run: its lock, also on file systems without any, and what a killed process leaves in it."""

import errno
import fcntl
import os
import sqlite3
import subprocess
import sys

import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.storage import ledger as ledgers
from zo_dno.storage.folder_lock import LOCK
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.run_folder import RunFolder
from zo_dno.storage.signature import SIGNATURE

USERS = [".viminfo.1", ".notes.2024", ".photo.2024.png", ".writable"]  # names of files that the program never writes
HOLD = """
import sys
from pathlib import Path
from zo_dno.storage.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_another_process_works_on_is_refused(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        other.stdout.readline()
        assert RunFolder.is_held(tmp_path)
        with pytest.raises(InputError, match=rf"is being worked on by process {other.pid}"), RunFolder(tmp_path):
            pass
        other.stdin.close()
    assert not RunFolder.is_held(tmp_path)


def test_a_folder_that_another_process_only_looks_at_is_taken(tmp_path, monkeypatch):
    """Whether a run is in progress is read from its lock, which that takes for a moment."""
    (tmp_path / LOCK).touch()
    looker, flock, tried = (tmp_path / LOCK).open(), fcntl.flock, []
    flock(looker, fcntl.LOCK_SH)

    def seen(file, how):
        try:
            flock(file, how)
        finally:
            tried.append(how)
            if len(tried) == 3:
                looker.close()

    monkeypatch.setattr(fcntl, "flock", seen)
    with RunFolder(tmp_path):
        assert RunFolder.is_held(tmp_path)
    assert len(tried) > 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_warned_of_and_used(tmp_path, monkeypatch, caplog, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = tmp_path / "run"
    zo_dno.optimize(ToyGenerator(), "brightness", "snes", queries=16, out=folder)
    assert "has no locks" in caplog.text
    assert not RunFolder.is_held(folder)
    assert zo_dno.resume(folder, generator=ToyGenerator(), queries=24).queries == 24


class NoSharedMemory(sqlite3.Connection):
    """What SQLite does on a file system that cannot share memory between processes."""

    def execute(self, sql, *parameters):
        if "WAL" in sql:
            error = sqlite3.OperationalError("locking protocol")
            error.sqlite_errorname = "SQLITE_PROTOCOL"
            raise error
        return super().execute(sql, *parameters)


def test_a_ledger_without_shared_memory_has_a_rollback_journal(tmp_path, monkeypatch):
    connect = sqlite3.connect

    def without(path, **options):
        return connect(path, **options, factory=NoSharedMemory)

    monkeypatch.setattr(ledgers.sqlite3, "connect", without)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.set({"fact": 1})
    ledger.close()
    with connect(tmp_path / "ledger.db") as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert Ledger(tmp_path / "ledger.db", read_only=True).get("fact") == 1


def test_what_a_killed_process_had_not_finished_is_removed_whatever_file_it_was(tmp_path):
    folder = tmp_path / "run"
    options = {"queries": 16, "top": 2, "policy": {"price": 0.01}, "init": torch.zeros(ToyGenerator().layout.d)}
    zo_dno.optimize(ToyGenerator(), "brightness", "snes", out=folder, **options)
    kept = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("ledger.db", ".lock"))]
    assert {path.parent.name for path in kept} == {"run", "top", "images", "noise"}
    left = [path.with_name(f".{path.stem}.4711{path.suffix}") for path in (*kept, folder / SIGNATURE)]
    others = [*map(folder.joinpath, USERS), folder / "images" / ".holiday.2024.png", folder / ".best.old.png"]
    for path in (*left, *others):
        path.touch()
    zo_dno.resume(folder, generator=ToyGenerator(), queries=24)
    assert [path for path in left if path.exists()] == []
    assert all(path.exists() for path in others)


def test_files_of_the_user_stay_where_a_run_begins(tmp_path):
    for name in USERS:
        (tmp_path / name).write_text("mine")
    zo_dno.optimize(ToyGenerator(), "brightness", "snes", queries=16, out=tmp_path)
    assert [(tmp_path / name).read_text() for name in USERS] == ["mine"] * len(USERS)
