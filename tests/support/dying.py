"""Test doubles of SQLite and of the file system, in which one write goes wrong."""

import errno
import re
import sqlite3
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

_KIND = re.compile(r"^\w+(?: \w+)*|'[a-z ]+'|\bNULL\b")  # table, stage, status, names of facts, what is not there yet


class KilledError(BaseException):
    """The end of the process, which nothing handles."""


@contextmanager
def going_wrong(at, when, *, files=False):
    """Die before or after a write of any ledger, or let it fail as on a full disk; yields the kinds of writes so far.

    Args:
        at: Number of the write, from 1; 0 for never.
        when: "before", "after" or "fails".
        files: Whether files that take their names are writes, too.
    """
    writes, connect, rename = [], sqlite3.connect, Path.replace

    def goes_on(error, kind):
        """Note a write that begins, and return whether the process dies after it."""
        writes.append(kind)
        if len(writes) == at and when != "after":
            raise KilledError if when == "before" else error
        return len(writes) == at

    class Double(sqlite3.Connection):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.said = []
            self.set_trace_callback(self.said.append)

        def __enter__(self):
            self.said.clear()
            return super().__enter__()

        def __exit__(self, *failure):
            kind = Counter(word for statement in self.said for word in _KIND.findall(statement))
            try:
                dies = failure[0] is None and goes_on(sqlite3.OperationalError("database or disk is full"), kind)
            except BaseException:
                self.rollback()
                raise
            super().__exit__(*failure)
            if dies:
                raise KilledError
            return False

    def replacing(path, target):
        dies = goes_on(OSError(errno.ENOSPC, "No space left on device"), Counter(["a file"]))
        rename(path, target)
        if dies:
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(connect, factory=Double))
        if files:
            patch.setattr(Path, "replace", replacing)
        yield writes
