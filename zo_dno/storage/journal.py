"""SQLite's write-ahead log, with which readers and a writer work at the same time."""

import sqlite3
import time

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
