"""Files that are written whole or not at all, and YAML files that are read."""

import codecs
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, StorageError, sentence
from zo_dno.failures import one_line


def write_whole(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Let `write` fill a file beside `path`, then give it that name in one step.

    Args:
        path: Path of the file; its folder is made if only that is missing.
        write: Function that writes to the path that it is given.
        durable: Whether the file is on the disk when the call returns.
    Raises:
        InputError: The path has no name, such as ".".
        StorageError: The file could not be written; an older file of that name is unchanged.
    """
    if not path.name:
        raise InputError(f"a file to write must have a name; got {str(path)!r}. Name a file in that folder.")
    unfinished = path.with_name(_unfinished(path, os.getpid()))
    try:
        path.parent.mkdir(exist_ok=True)
        write(unfinished)
        if durable:
            _flush(unfinished)
        unfinished.replace(path)
        if durable:
            _flush(path.parent)
    except BaseException as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StorageError(f"file {path} could not be written: {_reason(path, error)}") from error


def _reason(path: Path, error: OSError) -> str:
    """Say why a file could not be written, and what to do."""
    if isinstance(error, FileExistsError | FileNotFoundError | NotADirectoryError):
        return f"{path.parent} is not a folder. Name another."
    if isinstance(error, IsADirectoryError):
        return "it is a folder. Name a file in it."
    return (
        f"{error.strerror or error}. Make room or set the permissions, then try again; a run is resumed with: "
        "zo-dno resume"
    )


def remove_unfinished(folder: Path, names: Iterable[str]) -> None:
    """Remove the files that `write_whole` had not finished when its process was killed, and no others.

    Args:
        folder: Folder of the files, which holds what the program wrote.
        names: Names that the program writes there, such as "config.yaml" or "top/*.png".
    """
    for whole in (folder / name for name in names):
        for path in whole.parent.glob(_unfinished(whole, "*")):
            stem, _, process = path.name.removesuffix(whole.suffix).rpartition(".")
            ours = process.isdecimal() and fnmatchcase(stem, f".{whole.stem}")
            if ours and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)


def _unfinished(path: Path, process: int | str) -> str:
    return f".{path.stem}.{process}{path.suffix}"


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


def read_text(path: Path) -> str:
    """Read a user's text file: UTF-8, with or without the mark that some editors put first.

    Raises:
        OSError: The file cannot be read.
        UnicodeError: It is not UTF-8; the message says so where it is UTF-16.
    """
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnicodeError("it is UTF-16; save it as UTF-8")
    return data.decode("utf-8-sig")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file.

    Raises:
        InputError: The file cannot be read, or does not hold `key: value` lines.
    """
    from zo_dno.storage.plain_yaml import parse_yaml

    try:
        values = parse_yaml(read_text(path))
    except IsADirectoryError as error:
        own = path / "config.yaml"
        hint = f"that of a run in it is {own}" if own.is_file() else "name a file in it"
        raise InputError(f"config file {path} could not be read: it is a folder; {hint}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"config file {path} could not be read: it is no text in UTF-8.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"config file {path} could not be read: {sentence(one_line(reason))}") from error
    if not isinstance(values, dict):
        found = "none" if values is None else type(values).__name__
        raise InputError(f"config file {path} must hold lines of `key: value`; got {found}.")
    return {str(name): value for name, value in values.items()}  # a number or a date is the name of no option


def write_yaml(path: Path, values: dict[str, Any]) -> None:
    """Write a config file whole.

    Raises:
        InputError: It would be too large to be read again.
    """
    from zo_dno.storage.plain_yaml import to_yaml

    write_text(path, to_yaml(values))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
