"""The ledger's file: opened beside other readers, on any file system, and with errors that say what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, StorageError
from zo_dno.failures import one_line
from zo_dno.storage.journal import read_beside_writers, write_ahead
from zo_dno.storage.schema import migrate

_NO_SHARED_MEMORY = ("SQLITE_PROTOCOL", "SQLITE_IOERR", "SQLITE_CANTOPEN")  # of network file systems, for a log
_WAIT = 30.0  # seconds for a reader to release the file


class LedgerFile:
    """An SQLite file with the ledger's tables, or tables in memory.

    Args:
        path: Path of the file, which is made if it does not exist; None keeps the tables in memory.
        durable: Whether a commit is on the disk when it returns.
        read_only: Whether the file stays as it is, since the run may be in progress.
    Raises:
        InputError: The file is no ledger, is damaged, or was written by a later version.
        StorageError: The file cannot be written.
    """

    def __init__(self, path: Path | None, *, durable: bool, read_only: bool) -> None:
        self._path = path
        try:
            if read_only and path is not None:
                self._connection = _copied(path)
            else:
                self._connection = _opened(path)
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._connection.execute("PRAGMA trusted_schema = OFF")  # a stranger's file may bring functions of its own
            migrate(self._connection)
        except sqlite3.DatabaseError as error:
            raise self._named(error) from error
        self._identity = None if read_only else _identity(path)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write in one transaction, all or nothing.

        Raises:
            StorageError: The file cannot be written, or another one is in its place.
        """
        if self._identity is not None and _identity(self._path) != self._identity:
            raise StorageError(
                f"ledger {self._path} was removed or replaced while the run wrote to it. Put the folder back, or start "
                "a new run."
            )
        try:
            with self._connection:
                yield self._connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise self._named(error) from error

    def read(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query in SQL.

        Raises:
            InputError: The file is damaged.
            StorageError: The file cannot be read.
        """
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._named(error) from error

    def close(self) -> None:
        """Close the file; everything is written already."""
        self._connection.close()

    def damaged(self, why: str) -> InputError:
        """Return the error of a file with contents that no run writes."""
        return InputError(
            f"ledger {self._path} is damaged or no ledger ({one_line(why, 200)}). `sqlite3 {self._path} .recover` may "
            "save its rows."
        )

    def _named(self, error: sqlite3.DatabaseError) -> Exception:
        """Tell a damaged file from one that cannot be written."""
        if isinstance(error, sqlite3.OperationalError):
            return StorageError(
                f"ledger {self._path} could not be used: {error}. What was written before is safe; make room or set "
                "the permissions, then: zo-dno resume"
            )
        return self.damaged(str(error))


def _opened(path: Path | None) -> sqlite3.Connection:
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


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another of the same name; None where there is none."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_dev, found.st_ino)


def _copied(path: Path) -> sqlite3.Connection:
    """Copy a ledger into memory, even while a run writes to it; no byte of its folder changes."""
    memory = sqlite3.connect(":memory:")

    def copy(file: sqlite3.Connection) -> None:
        _check(file)
        file.backup(memory)

    read_beside_writers(path, copy, _WAIT)
    return memory


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
