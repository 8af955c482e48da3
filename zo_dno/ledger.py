"""The durable table of every query of a run."""

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Query:
    """One reward asked for one image.

    Attributes:
        stage: "search", or "baseline" for the best-of-N comparison.
        id: of the candidate.
        population: number of the `ask` that proposed it.
        image: sha256 of its pixels.
        reward: name of the reward.
        reward_version: of the reward.
        status: "scored" or "missing".
        value: in the reward's unit; None is missing.
        told: what the strategy was told; None is missing.
        log_prob: log P(z).
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the whiteness test.
        feasible: whether every plausibility test is passed.
        error: why the score is missing.
        seconds: time that the reward took.
        cost: money.
        raw: a judge's own words.
    """

    stage: str
    id: int
    population: int
    image: str
    prompt: str
    reward: str
    reward_version: str
    status: str
    value: float | None
    told: float | None
    log_prob: float
    norm_ratio: float
    whiteness: float
    feasible: bool
    error: str | None
    seconds: float
    cost: float
    raw: str | None


_COLUMNS = tuple(field.name for field in fields(Query))
_TYPES: dict[Any, str] = {int: "INTEGER", bool: "INTEGER", float: "REAL", float | None: "REAL"}


class Ledger:
    """Queries in an SQLite file, or in memory for a run that keeps no folder."""

    def __init__(self, path: Path | None = None) -> None:
        self._connection = sqlite3.connect(path or ":memory:")
        columns = ", ".join(f"{field.name} {_TYPES.get(field.type, 'TEXT')}" for field in fields(Query))
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS query ({columns}, PRIMARY KEY (stage, id))")

    def append(self, queries: Iterable[Query]) -> None:
        """Write queries in one transaction: all of them are kept, or none."""
        marks = ", ".join("?" * len(_COLUMNS))
        with self._connection:
            self._connection.executemany(f"INSERT INTO query VALUES ({marks})", [astuple(query) for query in queries])

    def queries(self, stage: str = "search") -> list[Query]:
        """Read the queries of a stage, in id order."""
        rows = self._connection.execute(
            f"SELECT {', '.join(_COLUMNS)} FROM query WHERE stage = ? ORDER BY id", (stage,)
        )
        return [replace(query, feasible=bool(query.feasible)) for query in (Query(*row) for row in rows)]

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._connection.close()
