"""SQLite's write-ahead log, with which readers and a writer work at the same time."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

_T = TypeVar("_T")

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_PAUSE = 0.02  # seconds between two tries


def write_ahead(connection: sqlite3.Connection, wait: float) -> None:
    """Switch a file to a write-ahead log.

    Of two connections that do so at the same moment SQLite refuses one without waiting for its timeout; it tries again.

    Args:
        connection: Connection to the file.
        wait: Seconds for which to try.
    Raises:
        OperationalError: The file stays locked for so long, or cannot have such a log.
    """
    until = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None or code & 0xFF not in _BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return


def opened_durable(path: Path | None, tables: str, wait: float) -> sqlite3.Connection:
    """Open a file that threads and processes share, and in which what is written is on the disk at once.

    Args:
        path: Path of the file, created if it is missing; None keeps it in memory.
        tables: SQL that creates its tables where they are missing.
        wait: Seconds to wait for another process that has the file locked.
    Raises:
        sqlite3.Error: The file cannot be used.
    """
    connection = sqlite3.connect(path or ":memory:", timeout=wait, isolation_level=None, check_same_thread=False)
    write_ahead(connection, wait)
    connection.execute("PRAGMA synchronous = FULL")
    connection.executescript(tables)
    return connection


def read_beside_writers(path: Path, read: Callable[[sqlite3.Connection], _T], wait: float) -> _T:
    """Read a file that others may be writing to; no byte of its folder changes.

    Args:
        path: Path of the file.
        read: Function that reads from the connection; it may be called twice.
        wait: Seconds to wait for another process that has the file locked.
    Raises:
        sqlite3.Error: The file cannot be read.
    """
    if path.with_name(f"{path.name}-wal").exists():  # else SQLite needs to make no files beside it
        try:
            return _read(path, "mode=ro", read, wait)
        except sqlite3.OperationalError:  # of a folder that cannot be written to
            pass
    return _read(path, "immutable=1", read, wait)


def _read(path: Path, how: str, read: Callable[[sqlite3.Connection], _T], wait: float) -> _T:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=wait)) as file:
        return read(file)
