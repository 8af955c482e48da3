"""What people said of images, durably: every answer is on the disk before anybody is told that it was taken."""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from zo_dno.errors import InputError
from zo_dno.judges.rating_tasks import Mode, Progress, RatingError, Said, Task, checked, said_of

RATINGS = "ratings.db"  # in a run's folder
_LEASE = 90.0  # seconds for which a task that a rater looks at is not given to another
_WAIT = 30.0
_TABLES = """
CREATE TABLE IF NOT EXISTS image (name TEXT PRIMARY KEY, png BLOB, score REAL, first INTEGER NOT NULL DEFAULT 0)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS round (
    number INTEGER PRIMARY KEY, images TEXT NOT NULL, prompt TEXT NOT NULL, votes INTEGER NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS task (
    id INTEGER PRIMARY KEY, round INTEGER NOT NULL, mode TEXT NOT NULL, shown TEXT NOT NULL,
    leased_to TEXT, leased_until REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS task_of_round ON task (round);
CREATE TABLE IF NOT EXISTS answer (
    id INTEGER PRIMARY KEY AUTOINCREMENT, task INTEGER NOT NULL, rater TEXT NOT NULL, said TEXT NOT NULL,
    at REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS one_answer ON answer (task, rater) WHERE NOT undone;
CREATE TABLE IF NOT EXISTS rater (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, serial INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""
_OPEN_TASK = """
SELECT task.id, mode, shown, prompt FROM task JOIN round ON number = round
WHERE NOT taken AND round = (SELECT MAX(number) FROM round)
  AND (SELECT COUNT(*) FROM answer WHERE answer.task = task.id AND NOT undone) < votes
  AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.task = task.id AND rater = ? AND NOT undone)
ORDER BY leased_to IS NOT ?, leased_until > ?, task.id LIMIT 1
"""  # the rater's own lease first, then what nobody looks at


class Ratings:
    """A run's ratings in an SQLite file, which the search and any number of web servers share.

    Args:
        path: of the file, made if it is not there; None keeps them in memory.
    Raises:
        InputError: the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()  # of this process; between processes the file has its own
        try:
            self._file = sqlite3.connect(
                path or ":memory:", timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(_TABLES)
        except sqlite3.Error as error:
            raise InputError(f"ratings must be a file that can be written; {path}: {error}.") from error

    # What the search does

    def post(
        self,
        images: Iterable[tuple[str, bytes]],
        prompt: str,
        tasks: Iterable[tuple[Mode, Sequence[str]]],
        *,
        votes: int = 1,
    ) -> int:
        """Ask about images, unless the same were asked about before. Returns the number of the round.

        Args:
            images: names and PNG files, new ones only.
            prompt: that they were drawn for.
            tasks: how, and which images together.
            votes: answers that each task needs, from as many raters.
        """
        files = dict(images)
        with self._writing() as file:
            key = json.dumps(list(files))
            found = file.execute("SELECT number FROM round WHERE images = ?", (key,)).fetchone()
            if found:
                return int(found[0])
            first = not file.execute("SELECT 1 FROM image LIMIT 1").fetchone()
            rows = [(name, png, first and row == 0) for row, (name, png) in enumerate(files.items())]
            keep = "INSERT INTO image (name, png, first) VALUES (?, ?, ?)"
            keep += " ON CONFLICT (name) DO UPDATE SET png = excluded.png"
            file.executemany(keep, rows)
            (number,) = file.execute("SELECT COALESCE(MAX(number), -1) + 1 FROM round").fetchone()
            file.execute("INSERT INTO round VALUES (?, ?, ?, ?, 0)", (number, key, prompt, votes))
            planned = [(number, mode, json.dumps(list(shown))) for mode, shown in tasks]
            file.executemany("INSERT INTO task (round, mode, shown) VALUES (?, ?, ?)", planned)
            return int(number)

    def take(self, number: int, patience: float = 0.0) -> list[Said] | None:
        """Take the answers of a round if it is complete; from then on none can be undone.

        Args:
            number: of the round.
            patience: seconds since the last answer for which it can still be undone.
        """
        with self._writing() as file:
            progress = self._progress(file, number)
            (latest,) = file.execute(
                "SELECT COALESCE(MAX(at), 0) FROM answer WHERE task IN (SELECT id FROM task WHERE round = ?)", (number,)
            ).fetchone()
            (taken,) = file.execute("SELECT taken FROM round WHERE number = ?", (number,)).fetchone()
            if not taken and not (progress.complete and time.time() >= latest + patience):
                return None
            file.execute("UPDATE round SET taken = 1 WHERE number = ?", (number,))
            return self._said(file, number)

    def settle(self, scores: dict[str, float], keep: Iterable[str]) -> None:
        """Fix the scores of images, and let go of the files of those that nobody will be shown again."""
        with self._writing() as file:
            rows = [(score, name) for name, score in scores.items()]
            file.executemany("UPDATE image SET score = ? WHERE name = ? AND score IS NULL", rows)
            kept = [*keep]
            marks = ", ".join("?" * len(kept))
            file.execute(
                "UPDATE image SET png = NULL WHERE NOT first AND name NOT IN "
                f"({marks}) AND name != COALESCE((SELECT name FROM image ORDER BY score DESC LIMIT 1), '')"
                " AND NOT EXISTS (SELECT 1 FROM round WHERE NOT taken AND instr(round.images, image.name))",
                kept,
            )

    def scores(self) -> dict[str, float]:
        """Return every image that has a score, with it, in the order in which they were posted."""
        with self._lock:
            found = dict(self._file.execute("SELECT name, score FROM image WHERE score IS NOT NULL"))
            rounds = self._file.execute("SELECT images FROM round ORDER BY number").fetchall()
        return {name: found[name] for (names,) in rounds for name in json.loads(names) if name in found}

    # What a rater does

    def next_task(self, rater: str) -> Task | None:
        """Give a rater something to say, which nobody else is looking at; None if nothing is left for them."""
        now = time.time()
        with self._writing() as file:
            row = file.execute(_OPEN_TASK, (rater, rater, now)).fetchone()
            if row is not None:
                lease = (rater, now + _LEASE, row[0])
                file.execute("UPDATE task SET leased_to = ?, leased_until = ? WHERE id = ?", lease)
        return row and Task(row[0], row[1], tuple(json.loads(row[2])), row[3])

    def has_task(self, rater: str) -> bool:
        """There is something that the rater can say."""
        with self._lock:
            return self._file.execute(_OPEN_TASK, (rater, rater, 0.0)).fetchone() is not None

    def open_tasks(self, number: int, rater: str) -> list[Task]:
        """List what a rater has not answered of a round, for raters that need no page."""
        with self._lock:
            rows = self._file.execute(
                "SELECT task.id, mode, shown, prompt FROM task JOIN round ON number = round"
                " WHERE number = ? AND NOT taken AND task.id NOT IN"
                " (SELECT task FROM answer WHERE rater = ? AND NOT undone) ORDER BY task.id",
                (number, rater),
            ).fetchall()
        return [Task(row[0], row[1], tuple(json.loads(row[2])), row[3]) for row in rows]

    def answer(self, rater: str, task: int, said: str | float | Sequence[str], serial: int | None = None) -> None:
        """Take an answer; it is on the disk when this returns.

        Args:
            rater: who says it.
            task: what was asked.
            said: a rating, names of images with the best first, or `SKIPPED`.
            serial: of the form that brings it; a form that is not the rater's newest is refused.
        Raises:
            RatingError: it was answered before, does not fit, or comes too late.
        """
        with self._writing() as file:
            row = file.execute(
                "SELECT mode, shown, taken FROM task JOIN round ON number = round WHERE id = ?", (task,)
            ).fetchone()
            if row is None:
                raise RatingError("There is no such question.")
            self._advance(file, rater, serial)
            if row[2]:
                raise RatingError("The search has gone on without this answer: others had answered in the meantime.")
            text = checked(said, row[0], json.loads(row[1]))
            try:
                file.execute(
                    "INSERT INTO answer (task, rater, said, at) VALUES (?, ?, ?, ?)", (task, rater, text, time.time())
                )
            except sqlite3.IntegrityError as error:
                raise RatingError("You have answered this already.") from error

    def undo(self, rater: str, serial: int | None = None) -> Task:
        """Take back the rater's newest answer; what was asked is asked again.

        Raises:
            RatingError: there is none, or the search has used it.
        """
        with self._writing() as file:
            row = file.execute(
                "SELECT answer.id, task, taken, mode, shown, prompt FROM answer JOIN task ON task.id = task"
                " JOIN round ON number = round WHERE rater = ? AND NOT undone ORDER BY answer.id DESC LIMIT 1",
                (rater,),
            ).fetchone()
            if row is None or row[2]:
                used = ": the search has used your last answer" if row else ""
                raise RatingError(f"There is nothing to undo{used}.")
            self._advance(file, rater, serial)
            file.execute("UPDATE answer SET undone = 1 WHERE id = ?", (row[0],))
            until = time.time() + _LEASE
            file.execute("UPDATE task SET leased_to = ?, leased_until = ? WHERE id = ?", (rater, until, row[1]))
            return Task(row[1], row[3], tuple(json.loads(row[4])), row[5])

    def greet(self, rater: str, name: str = "") -> tuple[str, int]:
        """Note that a rater is there. Returns their name, and the serial of their next form."""
        with self._writing() as file:
            (others,) = file.execute("SELECT COUNT(*) FROM rater").fetchone()
            row = (rater, name or f"rater {others + 1}")
            file.execute("INSERT OR IGNORE INTO rater (id, name) VALUES (?, ?)", row)
            file.execute("UPDATE rater SET name = COALESCE(?, name) WHERE id = ?", (name or None, rater))
            found = file.execute("SELECT name, serial FROM rater WHERE id = ?", (rater,)).fetchone()
        return str(found[0]), int(found[1])

    # What a page shows

    def progress(self, rater: str = "") -> Progress:
        """Say how far the newest round is."""
        with self._lock:
            (newest,) = self._file.execute("SELECT COALESCE(MAX(number), -1) FROM round").fetchone()
            return self._progress(self._file, newest, rater)

    def png(self, name: str) -> bytes | None:
        """Return the file of an image that may be shown."""
        with self._lock:
            row = self._file.execute("SELECT png FROM image WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def before_and_best(self) -> tuple[tuple[str, float | None] | None, tuple[str, float] | None]:
        """Name the very first image, and the one with the highest score, with their scores."""
        with self._lock:
            first = self._file.execute("SELECT name, score FROM image WHERE first").fetchone()
            best = self._file.execute(
                "SELECT name, score FROM image WHERE score IS NOT NULL ORDER BY score DESC, first DESC LIMIT 1"
            ).fetchone()
        return first, best

    def everything(self) -> list[Said]:
        """Return all answers that were not undone."""
        with self._lock:
            return self._said(self._file)

    def names(self) -> dict[str, str]:
        """Return the raters' names by their ids; those that share a name are told apart."""
        with self._lock:
            names = dict(self._file.execute("SELECT id, name FROM rater ORDER BY id"))
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        return {rater: f"{name} ({rater})" if name in shared else name for rater, name in names.items()}

    def clicks(self) -> int:
        """Count the answers that were not undone, skips included."""
        with self._lock:
            (count,) = self._file.execute("SELECT COUNT(*) FROM answer WHERE NOT undone").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        with self._lock:
            self._file.close()

    def _writing(self) -> "_Transaction":
        return _Transaction(self._file, self._lock)

    @staticmethod
    def _advance(file: sqlite3.Connection, rater: str, serial: int | None) -> None:
        """Use up a form, so that it cannot come a second time."""
        changed = file.execute(
            "UPDATE rater SET serial = serial + 1 WHERE id = ? AND serial = COALESCE(?, serial)", (rater, serial)
        ).rowcount
        if serial is not None and not changed:
            raise RatingError("This page was out of date; it has been loaded again.")

    @staticmethod
    def _progress(file: sqlite3.Connection, number: int, rater: str = "") -> Progress:
        asked, answered, mine = file.execute(
            "SELECT COALESCE((SELECT COUNT(*) * votes FROM task WHERE round = number), 0),"
            " (SELECT COALESCE(SUM(MIN(n, votes)), 0) FROM"
            "  (SELECT COUNT(*) AS n FROM answer JOIN task ON task.id = task"
            "   WHERE round = number AND NOT undone GROUP BY task)),"
            " (SELECT COUNT(*) FROM answer JOIN task ON task.id = task"
            "  WHERE round = number AND NOT undone AND rater = ?)"
            " FROM round WHERE number = ?",
            (rater, number),
        ).fetchone() or (0, 0, 0)
        (raters,) = file.execute("SELECT COUNT(DISTINCT rater) FROM answer WHERE NOT undone").fetchone()
        return Progress(number, answered, asked, mine, raters)

    @staticmethod
    def _said(file: sqlite3.Connection, number: int | None = None) -> list[Said]:
        rows = file.execute(
            "SELECT task, rater, said, mode, shown FROM answer JOIN task ON task.id = task"
            " WHERE NOT undone AND round = COALESCE(?, round) ORDER BY task, rater",
            (number,),
        )
        return [said_of(*row) for row in rows]


class _Transaction:
    """All of it or nothing, against threads of this process and against other processes."""

    def __init__(self, file: sqlite3.Connection, lock: threading.RLock) -> None:
        self._file, self._lock = file, lock

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        self._file.execute("BEGIN IMMEDIATE")
        return self._file

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._file.execute("COMMIT" if kind is None else "ROLLBACK")
        finally:
            self._lock.release()
