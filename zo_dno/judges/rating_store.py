"""The store of ratings: an SQLite file that holds every rating before the rater is told that it was accepted."""

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from zo_dno.errors import InputError
from zo_dno.judges.rated_run import Plan
from zo_dno.judges.rating_repeats import answered_twice, due_repeat, keep_for_repeats
from zo_dno.judges.rating_summary import RatingRound, Work, work_of
from zo_dno.judges.rating_tables import (
    BESIDE,
    NEWEST,
    OPEN_TASK,
    ROUND_OF_TASK,
    TABLES,
    planned,
    progress_of,
    ratings_of,
)
from zo_dno.judges.rating_tasks import Mode, Progress, Rating, RatingError, RatingTask, encode_rating
from zo_dno.judges.transaction import Transaction
from zo_dno.storage.journal import opened_durable
from zo_dno.types import Order

RATINGS = "ratings.db"  # in a run's folder
_LEASE = 90.0  # seconds for which a task shown to one rater is not given to another
_WAIT = 30.0


class RatingStore:
    """A run's ratings in an SQLite file, which the search and any number of web servers share.

    Args:
        path: File of the ratings, created if it is missing; None keeps the ratings in memory.
    Raises:
        InputError: The file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()  # of this process; between processes the file has its own
        try:
            self._file = opened_durable(path, TABLES, _WAIT)
        except sqlite3.Error as error:
            raise InputError(f"ratings must be a file that can be written; {path}: {error}.") from error

    # For the search

    def plan(self, **numbers: float) -> None:
        """Write what the search plans for its raters, for the servers of other processes as well.

        Args:
            numbers: `repeats`, the number of repeats for each task, and `duel`, the choices after the search.
        """
        with self.writing() as file:
            file.executemany("INSERT OR REPLACE INTO plan VALUES (?, ?)", [*numbers.items()])

    def post(
        self,
        images: Iterable[tuple[str, bytes]],
        prompt: str,
        tasks: Iterable[tuple[Mode, Sequence[str]]],
        *,
        votes: int = 1,
    ) -> int:
        """Begin a rating round, unless one of the same images exists. Returns the number of the round.

        Args:
            images: Names and PNG files of the new images.
            prompt: Prompt that the images were rendered for.
            tasks: Mode and images of each task.
            votes: Number of ratings that each task needs, each from another rater.
        """
        files = dict(images)
        with self.writing() as file:
            key = json.dumps(list(files))
            found = file.execute("SELECT number FROM round WHERE images = ?", (key,)).fetchone()
            if found:
                return int(found[0])
            file.execute("UPDATE round SET taken = 1 WHERE number IN (SELECT round FROM closing)")  # the search resumed
            first = not file.execute("SELECT 1 FROM image WHERE first").fetchone()
            rows = [(name, png, first and row == 0) for row, (name, png) in enumerate(files.items())]
            keep = "INSERT INTO image (name, png, first) VALUES (?, ?, ?)"
            keep += " ON CONFLICT (name) DO UPDATE SET png = excluded.png"
            file.executemany(keep, rows)
            (number,) = file.execute("SELECT COALESCE(MAX(number), -1) + 1 FROM round").fetchone()
            file.execute("INSERT INTO round VALUES (?, ?, ?, ?, 0)", (number, key, prompt, votes))
            planned = [(number, mode, json.dumps(list(shown))) for mode, shown in tasks]
            file.executemany("INSERT INTO task (round, mode, shown) VALUES (?, ?, ?)", planned)
            return int(number)

    def take(self, number: int, patience: float = 0.0) -> list[Rating] | None:
        """Return the ratings of a round once it is complete, and close the round: no rating can be undone any more.

        Args:
            number: Number of the round.
            patience: Seconds after the last rating in which it can still be undone.
        """
        with self.writing() as file:
            progress = progress_of(file, number)
            (latest,) = file.execute(
                "SELECT COALESCE(MAX(at), 0) FROM answer WHERE task IN (SELECT id FROM task WHERE round = ?)", (number,)
            ).fetchone()
            (taken,) = file.execute("SELECT taken FROM round WHERE number = ?", (number,)).fetchone()
            # a clock that was set back says nothing of how long ago the rating was
            if not taken and not (progress.complete and not 0 <= time.time() - latest < patience):
                return None
            file.execute("UPDATE round SET taken = 1 WHERE number = ?", (number,))
            return ratings_of(file, number)

    def settle(self, scores: dict[str, float], keep: Iterable[str]) -> None:
        """Fix the scores of images, and delete the PNG files of images that will not be shown again.

        Args:
            scores: Scores by image.
            keep: Images that may be shown again.
        """
        with self.writing() as file:
            rows = [(score, name) for name, score in scores.items()]
            kept = [*keep]
            kept += keep_for_repeats(file, kept)
            file.executemany("UPDATE image SET score = ? WHERE name = ? AND score IS NULL", rows)
            marks = ", ".join("?" * len(kept))
            file.execute(
                "UPDATE image SET png = NULL WHERE NOT first AND name NOT IN "
                f"({marks}) AND name != COALESCE((SELECT name FROM image ORDER BY score DESC LIMIT 1), '')"
                " AND NOT EXISTS (SELECT 1 FROM round WHERE NOT taken AND instr(round.images, image.name))",
                kept,
            )

    def orders(self, images: Collection[str]) -> list[Order]:
        """Return the choices and rankings of the rating rounds in which these images were new."""
        with self._lock:
            rounds = self._file.execute("SELECT number, images FROM round ORDER BY number").fetchall()
            own = [number for number, names in rounds if not set(images).isdisjoint(json.loads(names))]
            ratings = [one for number in own for one in ratings_of(self._file, number)]
        return [one.order for one in ratings if one.order is not None]

    def showable(self) -> set[str]:
        """Return the images whose files are kept for more than repeats."""
        query = "SELECT name FROM image WHERE png IS NOT NULL AND name NOT IN (SELECT name FROM repeatable)"
        with self._lock:
            return {name for (name,) in self._file.execute(query)}

    def scores(self) -> dict[str, float]:
        """Return the score of every image that has one, in the order in which the images were posted."""
        with self._lock:
            found = dict(self._file.execute("SELECT name, score FROM image WHERE score IS NOT NULL"))
            rounds = self._file.execute("SELECT images FROM round ORDER BY number").fetchall()
        return {name: found[name] for (names,) in rounds for name in json.loads(names) if name in found}

    # For raters

    def next_task(self, rater: str) -> RatingTask | None:
        """Lease a rater a task, where possible one that no other rater holds; None if no task is left for the rater."""
        now = time.time()
        with self.writing() as file:
            row = file.execute(OPEN_TASK, (rater, rater, now)).fetchone()
            if row is not None:
                row = due_repeat(file, rater) or row
                lease = (rater, now + _LEASE, row[0])
                file.execute("UPDATE task SET leased_to = ?, leased_until = ? WHERE id = ?", lease)
        return row and RatingTask(row[0], row[1], tuple(json.loads(row[2])), row[3])

    def has_task(self, rater: str) -> bool:
        """Whether there is a task for the rater."""
        with self._lock:
            return self._file.execute(OPEN_TASK, (rater, rater, 0.0)).fetchone() is not None

    def open_tasks(self, number: int, rater: str) -> list[RatingTask]:
        """List the tasks of a round that a rater has not rated, for raters that need no page."""
        with self._lock:
            rows = self._file.execute(
                "SELECT task.id, mode, shown, prompt FROM task JOIN round ON number = round"
                " WHERE number = ? AND NOT taken AND task.id NOT IN"
                " (SELECT task FROM answer WHERE rater = ? AND NOT undone) ORDER BY task.id",
                (number, rater),
            ).fetchall()
        return [RatingTask(row[0], row[1], tuple(json.loads(row[2])), row[3]) for row in rows]

    def rate(self, rater: str, task: int, rating: str | float | Sequence[str], serial: int | None = None) -> None:
        """Store a rating; it is on the disk when this returns.

        Args:
            rater: Id of the rater.
            task: Id of the task.
            rating: Number, names of images with the best first, or `SKIPPED`.
            serial: Serial of the submitted form; a form that is not the rater's newest is refused.
        Raises:
            RatingError: The rater has rated this task before, or the rating does not fit or comes too late.
        """
        with self.writing() as file:
            row = file.execute(
                f"SELECT mode, shown, taken AND round >= 0 FROM task JOIN round ON {ROUND_OF_TASK} WHERE id = ?",
                (task,),
            ).fetchone()
            if row is None:
                raise RatingError("There is no such task.")
            self._advance(file, rater, serial)
            if row[2]:
                raise RatingError("The search has continued without this rating: others had rated meanwhile.")
            text = encode_rating(rating, row[0], json.loads(row[1]))
            try:
                file.execute(
                    "INSERT INTO answer (task, rater, said, at) VALUES (?, ?, ?, ?)", (task, rater, text, time.time())
                )
            except sqlite3.IntegrityError as error:
                raise RatingError("You have rated this already.") from error

    def undo(self, rater: str, serial: int | None = None) -> RatingTask:
        """Undo the rater's newest rating, and return its task, which is open again.

        Raises:
            RatingError: There is no rating to undo, or the search has used it.
        """
        with self.writing() as file:
            row = file.execute(
                "SELECT answer.id, task, taken AND round >= 0, mode, shown, prompt FROM answer JOIN task"
                f" ON task.id = task JOIN round ON {ROUND_OF_TASK} WHERE rater = ? AND NOT undone"
                " ORDER BY answer.id DESC LIMIT 1",
                (rater,),
            ).fetchone()
            if row is None or row[2]:
                used = ": the search has used your last rating" if row else ""
                raise RatingError(f"There is nothing to undo{used}.")
            self._advance(file, rater, serial)
            file.execute("UPDATE answer SET undone = 1 WHERE id = ?", (row[0],))
            until = time.time() + _LEASE
            file.execute("UPDATE task SET leased_to = ?, leased_until = ? WHERE id = ?", (rater, until, row[1]))
            return RatingTask(row[1], row[3], tuple(json.loads(row[4])), row[5])

    def can_undo(self, rater: str) -> bool:
        """Whether the rater's newest rating can be undone."""
        with self._lock:
            row = self._file.execute(
                f"SELECT taken AND round >= 0 FROM answer JOIN task ON task.id = task JOIN round ON {ROUND_OF_TASK}"
                " WHERE rater = ? AND NOT undone ORDER BY answer.id DESC LIMIT 1",
                (rater,),
            ).fetchone()
        return row is not None and not row[0]

    def greet(self, rater: str, name: str = "") -> tuple[str, int]:
        """Register a rater. Returns the rater's name, and the serial of the rater's next form."""
        with self.writing() as file:
            (others,) = file.execute("SELECT COUNT(*) FROM rater").fetchone()
            row = (rater, name or f"rater {others + 1}")
            file.execute("INSERT OR IGNORE INTO rater (id, name) VALUES (?, ?)", row)
            file.execute("UPDATE rater SET name = COALESCE(?, name) WHERE id = ?", (name or None, rater))
            found = file.execute("SELECT name, serial FROM rater WHERE id = ?", (rater,)).fetchone()
        return str(found[0]), int(found[1])

    # For pages

    def progress(self, rater: str = "") -> Progress:
        """Return the progress of the newest round."""
        with self._lock:
            (newest,) = self._file.execute(f"SELECT {NEWEST}").fetchone()
            return progress_of(self._file, newest, rater)

    def rounds(self) -> list[RatingRound]:
        """Return all rating rounds of the search, the newest last."""
        with self._lock:
            rows = self._file.execute(
                "SELECT images, votes * (SELECT COUNT(*) FROM task WHERE round = number),"
                " (SELECT shown FROM task WHERE round = number LIMIT 1) FROM round"
                f" WHERE number NOT IN ({BESIDE}) ORDER BY number"
            ).fetchall()
        return [RatingRound(tuple(json.loads(row[0])), row[1], len(json.loads(row[2] or "[]"))) for row in rows]

    def work(self, progress: Progress, plan: Plan | None) -> Work:
        """Count the ratings that are given and left.

        Args:
            progress: Progress of the newest round.
            plan: Planned number of images, if it is known.
        """
        with self._lock:
            plans = [planned(self._file, name) for name in ("repeats", "duel")]
            closing, ladder = (
                bool(self._file.execute(f"SELECT 1 FROM {table} WHERE round = ?", (progress.rating_round,)).fetchone())
                for table in ("closing", "ladder")
            )
        if ladder:
            return Work(progress.given, max(0, progress.needed - progress.given), is_ladder=True)
        return work_of(self.rounds(), progress, plan, repeats=plans[0], duel=round(plans[1]), is_closing=closing)

    def png(self, name: str) -> bytes | None:
        """Return the PNG file of an image that may be shown; None if there is none."""
        with self._lock:
            row = self._file.execute("SELECT png FROM image WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def first_and_best(self) -> tuple[tuple[str, float | None] | None, tuple[str, float] | None]:
        """Return the names and scores of the first image and of the image with the highest score."""
        with self._lock:
            first = self._file.execute("SELECT name, score FROM image WHERE first").fetchone()
            best = self._file.execute(
                "SELECT name, score FROM image WHERE score IS NOT NULL AND png IS NOT NULL"
                " ORDER BY score DESC, first DESC LIMIT 1"
            ).fetchone()
        return first, best

    def ratings(self) -> list[Rating]:
        """Return all ratings that were not undone, skips included, but not those of repeats, ladders and duels."""
        with self._lock:
            return ratings_of(self._file)

    def repeats(self) -> list[tuple[Rating, Rating]]:
        """Return what raters said of a task and of its repeat."""
        with self._lock:
            return answered_twice(self._file)

    def names(self) -> dict[str, str]:
        """Return the raters' names by their ids; a name that several raters share is followed by the id."""
        with self._lock:
            names = dict(self._file.execute("SELECT id, name FROM rater ORDER BY id"))
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        return {rater: f"{name} ({rater})" if name in shared else name for rater, name in names.items()}

    def close(self) -> None:
        """Close the file; a store that is not closed loses nothing."""
        with self._lock:
            self._file.close()

    def writing(self) -> Transaction:
        """Begin a transaction on the file."""
        return Transaction(self._file, self._lock)

    @staticmethod
    def _advance(file: sqlite3.Connection, rater: str, serial: int | None) -> None:
        """Invalidate a form, so that it cannot be submitted a second time."""
        changed = file.execute(
            "UPDATE rater SET serial = serial + 1 WHERE id = ? AND serial = COALESCE(?, serial)", (rater, serial)
        ).rowcount
        if serial is not None and not changed:
            raise RatingError("This page was out of date; it has been loaded again.")
