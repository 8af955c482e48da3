"""Opening the ledger's file: beside other readers, on any file system, and never a damaged one."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from zo_dno.storage.journal import write_ahead

_NO_SHARED_MEMORY = ("SQLITE_PROTOCOL", "SQLITE_IOERR", "SQLITE_CANTOPEN")  # of network file systems, for a log
_WAIT = 30.0  # seconds for a reader to release the file


def opened(path: Path | None) -> sqlite3.Connection:
    """Open a ledger with a write-ahead log, or with a rollback journal where the file system cannot share memory."""
    for journal in ("WAL", "DELETE"):
        connection = sqlite3.connect(path or ":memory:", timeout=_WAIT)
        try:
            _check(connection)
            if journal == "WAL":
                write_ahead(connection, _WAIT)
            else:
                connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("SELECT COUNT(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            connection.close()
            if journal == "DELETE" or not str(error.sqlite_errorname).startswith(_NO_SHARED_MEMORY):
                raise
        else:
            break
    return connection


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None where there is none."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def copied(path: Path) -> sqlite3.Connection:
    """Copy a ledger into memory, even while a run writes to it; no byte of its folder changes."""
    memory = sqlite3.connect(":memory:")
    written_to = path.with_name(f"{path.name}-wal").exists()  # else SQLite needs to make no files beside it
    for how in ("mode=ro", "immutable=1") if written_to else ("immutable=1",):
        try:
            with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_WAIT)) as file:
                _check(file)
                file.backup(memory)
            return memory
        except sqlite3.OperationalError:
            if how == "immutable=1":
                raise
    return memory


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
