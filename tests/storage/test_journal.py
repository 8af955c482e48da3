"""The write-ahead log of a file that several connections open at once."""

import sqlite3
import threading

import pytest

from zo_dno.storage.journal import write_ahead


class RefusedTwice(sqlite3.Connection):
    """What SQLite answers while another connection switches the same file."""

    refusals = 2

    def execute(self, sql, *parameters):
        if self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *parameters)


def test_a_refusal_of_the_moment_is_tried_again(tmp_path):
    connection = sqlite3.connect(tmp_path / "file.db", factory=RefusedTwice)
    write_ahead(connection, wait=60)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_given_up(tmp_path):
    connection = sqlite3.connect(tmp_path / "file.db", factory=RefusedTwice)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        write_ahead(connection, wait=-1)


def test_many_connections_at_once(tmp_path):
    failed = []

    def work():
        try:
            connection = sqlite3.connect(tmp_path / "file.db", timeout=60)
            write_ahead(connection, wait=60)
            connection.close()
        except sqlite3.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
