"""SQLite's write-ahead log, with which readers and a writer work at the same time."""

import sqlite3
import time
from pathlib import Path

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
