"""The store of batches: an SQLite file with every batch that a provider may have, and every response that came back."""

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.judges.transaction import Transaction
from zo_dno.storage.journal import opened_durable
from zo_dno.storage.plain_json import parse_json

_WAIT = 30.0  # seconds to wait for another process that has the file locked
_TABLES = """
CREATE TABLE IF NOT EXISTS batch (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL DEFAULT '', at REAL NOT NULL, id TEXT,
    ended INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS item (batch INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (batch, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS response (key TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch.

    Attributes:
        number: Number in the store.
        name: Name by which it can be found at the provider.
        at: Unix time before its creation.
        id: Id at the provider; None while that is unknown, since no response to its creation came back.
        keys: Keys of its requests.
    """

    number: int
    name: str
    at: float
    id: str | None
    keys: tuple[str, ...]


class BatchStore:
    """A run's batches. What a method has written is on the disk when it returns.

    Args:
        path: File of the batches, created if it is missing; None keeps them in memory.
    Raises:
        InputError: The file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.RLock()
        try:
            self._file = opened_durable(path, _TABLES, _WAIT)
        except sqlite3.Error as error:
            raise InputError(f"batches must be a file that can be written; {path}: {error}.") from error

    def plan(self, keys: Collection[str]) -> Batch:
        """Record a batch that is about to be created."""
        at = time.time()
        with Transaction(self._file, self._lock) as file:
            number = file.execute("INSERT INTO batch (at) VALUES (?)", (at,)).lastrowid
            assert number is not None
            name = f"zo-dno-{number}-{hashlib.sha256('/'.join(keys).encode()).hexdigest()[:32]}"
            file.execute("UPDATE batch SET name = ? WHERE number = ?", (name, number))
            file.executemany("INSERT INTO item VALUES (?, ?)", [(number, key) for key in keys])
        return Batch(number, name, at, None, tuple(keys))

    def created(self, batch: Batch, id_: str) -> None:
        """Record the id of a batch at the provider."""
        with Transaction(self._file, self._lock) as file:
            file.execute("UPDATE batch SET id = ? WHERE number = ?", (id_, batch.number))

    def finish(self, batch: Batch, responses: Mapping[str, Any]) -> None:
        """Record that a batch has ended, or never was, with its responses; the first of a key is kept."""
        rows = [(key, json.dumps(response)) for key, response in responses.items()]
        with Transaction(self._file, self._lock) as file:
            file.executemany("INSERT OR IGNORE INTO response VALUES (?, ?)", rows)
            file.execute("UPDATE batch SET ended = 1 WHERE number = ?", (batch.number,))

    def open(self) -> list[Batch]:
        """Return the batches that have not ended."""
        with self._lock:
            rows = self._file.execute(
                "SELECT number, name, at, id FROM batch WHERE NOT ended ORDER BY number"
            ).fetchall()
            return [Batch(number, name, at, id_, self._keys(number)) for number, name, at, id_ in rows]

    def ids(self) -> set[str]:
        """Return the ids of all batches."""
        with self._lock:
            return {id_ for (id_,) in self._file.execute("SELECT id FROM batch WHERE id IS NOT NULL")}

    def responses(self, keys: Collection[str]) -> dict[str, Any]:
        """Return the responses that came back, by the keys of their requests."""
        with self._lock:
            found = {
                key: self._file.execute("SELECT json FROM response WHERE key = ?", (key,)).fetchone() for key in keys
            }
        return {key: parse_json(row[0]) for key, row in found.items() if row is not None}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _keys(self, number: int) -> tuple[str, ...]:
        rows = self._file.execute("SELECT key FROM item WHERE batch = ?", (number,))
        return tuple(key for (key,) in rows)
