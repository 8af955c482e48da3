"""The cache of scores: in memory within a run, in a file across runs."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, StorageError
from zo_dno.storage.journal import write_ahead
from zo_dno.storage.plain_json import parse_json
from zo_dno.types import Score

_FIELDS = {"parts": "components", "shortfall": "reward_violation"}  # names in the file -> fields of a Score
_DATABASE = b"SQLite format 3\0"  # which a file of SQLite begins with
_WAIT = 30.0  # seconds to wait for another process that has the file locked


class Cache:
    """Scores by the key of their query. Missing scores are not cached: the next call may succeed.

    Args:
        path: File that runs share, created if it does not exist; by default the cache lives in memory alone.
    Raises:
        InputError: The file is no cache, or is not writable.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._memory: dict[str, Score] = {}
        self._file: sqlite3.Connection | None = None
        self._path = path
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _check_is_database(path)
            self._file = sqlite3.connect(path, timeout=_WAIT)
            write_ahead(self._file, _WAIT)
            with self._file:
                for table, columns in (("answer", "value REAL NOT NULL, raw TEXT"), ("detail", "json TEXT NOT NULL")):
                    self._file.execute(
                        f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"
                    )
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"cache must be a writable file of scores; {path}: {error}.") from error

    def find(self, key: str) -> Score | None:
        """Return the cached score, without its cost and time.

        Raises:
            StorageError: The file cannot be read.
        """
        if key not in self._memory and self._file is not None:
            with self._named():
                row = self._file.execute(
                    "SELECT value, raw, json FROM answer LEFT JOIN detail USING (key) WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    self._memory[key] = Score(row[0], raw=row[1], **_read(row[2]))
        return self._memory.get(key)

    def remember(self, scores: Iterable[tuple[str, Score]]) -> None:
        """Cache scores by their keys; the first score of a key is kept.

        Raises:
            StorageError: The file cannot be written.
        """
        lasting = {key: _lasting(score) for key, score in scores if not score.missing}
        new = {key: score for key, score in lasting.items() if key not in self._memory}
        self._memory |= new
        if self._file is not None and new:
            rows = [(key, score.value, score.raw) for key, score in new.items()]
            details = [(key, _written(detail)) for key, score in new.items() if (detail := _detail(score))]
            with self._named(), self._file:
                self._file.executemany("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", rows)
                self._file.executemany("INSERT OR IGNORE INTO detail VALUES (?, ?)", details)

    def close(self) -> None:
        """Close the file; without this call nothing is lost."""
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name the file where using it fails inside the block."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:  # the last three of a damaged row
            raise StorageError(
                f"cache {self._path} could not be used: {error}. What the run wrote before is safe; make room, set the "
                "permissions or name another file with --cache, then: zo-dno resume"
            ) from error


def _check_is_database(path: Path) -> None:
    """Check that a file that exists is a database: SQLite would write over a text of a few bytes.

    Raises:
        OSError: It is something else, or cannot be read.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_DATABASE)) not in (b"", _DATABASE):
                raise OSError("it is another file. Name one that a run wrote, or a new one")


def _lasting(score: Score) -> Score:
    """Drop the cost, the time and the tokens of the call."""
    return Score(score.value, raw=score.raw, **_detail(score))


def _detail(score: Score) -> dict[str, Any]:
    """Return the details of a score that are set."""
    components = None if score.components is None else dict(score.components)
    detail = {"components": components, "spread": score.spread, "reward_violation": score.reward_violation or None}
    return {name: value for name, value in detail.items() if value is not None}


def _read(text: str | None) -> dict[str, Any]:
    detail: dict[str, Any] = parse_json(text or "{}")
    return {_FIELDS.get(name, name): value for name, value in detail.items()}


def _written(detail: dict[str, Any]) -> str:
    names = {field: name for name, field in _FIELDS.items()}
    return json.dumps({names.get(name, name): value for name, value in detail.items()})


def cache_key(identity: dict[str, Any], sha256: str, prompt: str, repeat: int, rater: str) -> str:
    """Return the SHA-256, in hexadecimal, of everything that decides a score.

    Args:
        identity: Name, version and settings of the reward.
        sha256: Hash of the image.
        prompt: Prompt that the image was rendered for.
        repeat: Number of earlier queries for the same image.
        rater: Name of the person or judge who scores it.
    """
    decisive = [identity, sha256, prompt, repeat, rater]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()
