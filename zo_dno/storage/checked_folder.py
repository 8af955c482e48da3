"""Folders that others may have written: only plain files of their own, of a bounded size."""

import os
import stat
from pathlib import Path

from zo_dno.errors import InputError

_TEXT = 64 * 2**20  # bytes of a file that is read whole
_TEXT_ENDINGS = (".yaml", ".json", ".csv", ".txt")
_DEEPEST = 4  # levels: a comparison or many prompts, a run, a kind of file


def check_folder(path: Path) -> None:
    """Check that a folder of a run, or of several, holds nothing but plain files and folders.

    A link could bring any file of this machine into a report, and a pipe would be waited for without end.

    Raises:
        InputError: One of its files is a link or another special file, or too large to be read.
    """
    _check(path, path, _DEEPEST)


def _check(folder: Path, top: Path, levels: int) -> None:
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise InputError(f"run must be a folder that can be read; {folder}: {error.strerror}.") from error
    for entry in entries:
        where = f"{Path(entry.path).relative_to(top)} in {top}"
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise InputError(f"run must hold files of its own; {where} is a link. Put the file in its place.")
        if stat.S_ISDIR(mode):
            if levels:
                _check(Path(entry.path), top, levels - 1)
        elif not stat.S_ISREG(mode):
            raise InputError(f"run must hold plain files; {where} is none. Remove it.")
        elif entry.name.endswith(_TEXT_ENDINGS) and entry.stat(follow_symlinks=False).st_size > _TEXT:
            raise InputError(f"run must hold text files of at most {_TEXT // 2**20} MiB; {where} is larger.")
