"""Transactions of a file that threads and processes share."""

import sqlite3
import threading


class Transaction:
    """A transaction, exclusive among the threads of this process and among processes."""

    def __init__(self, file: sqlite3.Connection, lock: threading.RLock) -> None:
        self._file, self._lock = file, lock

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._file.execute("BEGIN IMMEDIATE")
        except BaseException:  # __exit__ is not called then, and Ctrl-C may come after it has begun
            self._end()
            raise
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._file.execute("COMMIT")
        finally:
            self._end()

    def _end(self) -> None:
        try:
            if self._file.in_transaction:  # a full disk has ended it already
                self._file.execute("ROLLBACK")
        finally:
            self._lock.release()
