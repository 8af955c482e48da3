"""The raters of a run as others see them: how far the newest round is, and who rated lately."""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from zo_dno.failures import one_line
from zo_dno.storage.journal import read_beside_writers

AT_WORK = 120.0  # seconds after a rating for which its rater counts as at work
_WAIT = 2.0
_MOST_NAMED, _LONGEST_NAME = 6, 40
_PROGRESS = """
SELECT COALESCE(SUM(votes), 0), COALESCE(SUM(MIN(votes,
    (SELECT COUNT(*) FROM answer WHERE answer.task = task.id AND NOT undone))), 0)
FROM task JOIN round ON number = round WHERE round = (SELECT MAX(number) FROM round)
"""
_RATERS = """
SELECT name, COUNT(*) AS given, MAX(at) AS latest FROM answer LEFT JOIN rater ON rater.id = rater
WHERE NOT undone GROUP BY rater ORDER BY latest DESC
"""


@dataclass(frozen=True, slots=True)
class Raters:
    """The raters of a run.

    Attributes:
        given: Number of ratings given in the newest round.
        needed: Number of ratings that the newest round needs.
        at_work: Names and numbers of ratings in the run, of those who rated in the last `AT_WORK` seconds.
        others: Number of other people who gave a rating in the run.
    """

    given: int
    needed: int
    at_work: tuple[tuple[str, int], ...]
    others: int


def raters_of(path: Path) -> Raters | None:
    """Read who rates a run, without changing a byte of its file; None if the file holds no ratings."""
    try:
        (needed, given), rows = read_beside_writers(path, _read, _WAIT)
        now = time.time()
        late = [(one_line(str(name or "unnamed"), _LONGEST_NAME), int(n)) for name, n, at in rows if now - at < AT_WORK]
        return Raters(int(given), int(needed), tuple(late[:_MOST_NAMED]), len(rows) - len(late))
    except (sqlite3.Error, TypeError, ValueError):
        return None


def _read(file: sqlite3.Connection) -> tuple[tuple[int, int], list[tuple[str, int, float]]]:
    file.execute("PRAGMA trusted_schema = OFF")  # a stranger's file may bring functions of its own
    return file.execute(_PROGRESS).fetchone(), file.execute(_RATERS).fetchall()
