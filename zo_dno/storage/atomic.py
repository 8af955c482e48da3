"""Files that are written whole or not at all, and YAML files that are read."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, StorageError


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Let `write` fill a file beside `path`, then give it that name in one step.

    Args:
        path: Path of the file; its folder is made if only that is missing.
        write: Function that writes to the path that it is given.
        durable: Whether the file is on the disk when the call returns.
    Raises:
        StorageError: The file could not be written; an older file of that name is unchanged.
    """
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(exist_ok=True)
        write(unfinished)
        if durable:
            _flush(unfinished)
        unfinished.replace(path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StorageError(
            f"file {path} could not be written: {error.strerror or error}. Make room or set the permissions, then try "
            "again; a run is resumed with: zo-dno resume"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_whole(path, lambda unfinished: unfinished.write_text(text))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file.

    Raises:
        InputError: The file cannot be read, or does not hold `key: value` lines.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"config file {path} could not be read: {reason}") from error
    if not isinstance(values, dict):
        raise InputError(f"config file {path} must hold lines of `key: value`; got {type(values).__name__}.")
    return values


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
