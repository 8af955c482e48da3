"""The lock of a folder, by which one process at a time works on a run or a group of runs."""

import errno
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO

from zo_dno.errors import InputError

log = logging.getLogger(__name__)
LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""What an operating system says of a lock that another process holds; anything else says that there are no locks."""
_LOOKS, _LOOK = 1000, 0.001  # how often, and after how many seconds, a lock is tried again that others look at


class FolderLock:
    """The lock of a folder, held inside a `with` block; a killed process releases it as well.

    Some network file systems have no locks. There the block is entered with a warning.

    Args:
        folder: The folder.
        what: What the folder holds, for messages.
    Raises:
        InputError: Another process holds the lock.

    Attributes:
        certain: Whether no other process can be working on the folder.
    """

    def __init__(self, folder: Path, what: str = "run") -> None:
        self._folder, self._what, self.certain = folder, what, False
        self._file: IO[str] | None = None

    @staticmethod
    def is_held(folder: Path) -> bool:
        """Whether a process holds the lock of a folder, as far as the file system tells."""
        try:
            with (folder / LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _HELD
        return False

    def __enter__(self) -> "FolderLock":
        file = (self._folder / LOCK).open("a+")
        try:
            _take(file)
            self.certain = True
        except OSError as error:
            if error.errno in _HELD:
                file.seek(0)
                holder = file.read().strip() or "another process"
                file.close()
                raise InputError(
                    f"{self._what} {self._folder} is being worked on by {holder}. Wait for it, or stop it with Ctrl-C."
                ) from error
            log.warning(
                "the file system of %s has no locks (%s): see to it that no other process works on this run",
                *(self._folder, os.strerror(error.errno or 0)),
            )
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        self._file = file
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _take(file: IO[str]) -> None:
    """Take the lock; `is_held` of another process, which has it for microseconds, is waited for.

    Raises:
        OSError: Another process holds the lock, or there are no locks.
    """
    for _ in range(_LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise
        else:
            return
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # an error where a run holds it
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(_LOOK)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
