"""Answers to questions that were asked before: within a run always, across runs in a file."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.types import Score

_FIELDS = {"parts": "components", "shortfall": "reward_violation"}  # names in the file -> fields of a Score
_WAIT = 30.0  # seconds for another process to let go of the file


class Cache:
    """Scores by what decides them. Missing scores are not remembered: they may come the next time.

    Args:
        path: a file that runs share, made if it is not there; by default nothing outlives the object.
    Raises:
        InputError: the file is no cache, or cannot be written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._memory: dict[str, Score] = {}
        self._file: sqlite3.Connection | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_WAIT)
            self._file.execute("PRAGMA journal_mode=WAL")
            with self._file:
                for table, columns in (("answer", "value REAL NOT NULL, raw TEXT"), ("detail", "json TEXT NOT NULL")):
                    self._file.execute(
                        f"CREATE TABLE IF NOT EXISTS {table} (key TEXT PRIMARY KEY, {columns}) WITHOUT ROWID"
                    )
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"cache must be a file of answers that can be written; {path}: {error}.") from error

    def find(self, key: str) -> Score | None:
        """Return the remembered score, without its price and time."""
        if key not in self._memory and self._file is not None:
            row = self._file.execute(
                "SELECT value, raw, json FROM answer LEFT JOIN detail USING (key) WHERE key = ?", (key,)
            ).fetchone()
            if row is not None:
                self._memory[key] = Score(row[0], raw=row[1], **_read(row[2]))
        return self._memory.get(key)

    def remember(self, answers: Iterable[tuple[str, Score]]) -> None:
        """Keep scores by their keys; the first answer to a question stays."""
        scores = {key: _lasting(score) for key, score in answers if not score.missing}
        new = {key: score for key, score in scores.items() if key not in self._memory}
        self._memory |= new
        if self._file is not None and new:
            rows = [(key, score.value, score.raw) for key, score in new.items()]
            details = [(key, _written(detail)) for key, score in new.items() if (detail := _detail(score))]
            with self._file:
                self._file.executemany("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", rows)
                self._file.executemany("INSERT OR IGNORE INTO detail VALUES (?, ?)", details)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        if self._file is not None:
            self._file.close()


def _lasting(score: Score) -> Score:
    """Leave out what the asking took."""
    return Score(score.value, raw=score.raw, **_detail(score))


def _detail(score: Score) -> dict[str, Any]:
    """Return what a score holds beside its value, where it holds anything."""
    components = None if score.components is None else dict(score.components)
    detail = {"components": components, "spread": score.spread, "reward_violation": score.reward_violation or None}
    return {name: value for name, value in detail.items() if value is not None}


def _read(text: str | None) -> dict[str, Any]:
    detail: dict[str, Any] = json.loads(text or "{}")
    return {_FIELDS.get(name, name): value for name, value in detail.items()}


def _written(detail: dict[str, Any]) -> str:
    names = {field: name for name, field in _FIELDS.items()}
    return json.dumps({names.get(name, name): value for name, value in detail.items()})


def answer_key(identity: dict[str, Any], sha256: str, prompt: str, repeat: int, rater: str) -> str:
    """Name an answer by everything that decides it: sha256, in hexadecimal.

    Args:
        identity: of the reward: name, version and settings.
        sha256: of the image.
        prompt: that it was drawn for.
        repeat: how often the same was asked before.
        rater: who is asked.
    """
    parts = [identity, sha256, prompt, repeat, rater]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
