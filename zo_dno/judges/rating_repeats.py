"""Hidden repeats: now and then a rater gets an earlier task again, in another order, which measures the rater.

What a rater says of a repeat is no evidence about the images: it may be remembered, and one opinion would count twice.
So repeats belong to no round, no search waits for them, and a run is the same with and without them.
"""

import json
import sqlite3
from collections.abc import Collection
from math import ceil

from zo_dno.judges.rating_tables import NEWEST, planned
from zo_dno.judges.rating_tasks import SKIPPED, Rating, TaskMode, decode_rating
from zo_dno.rng import numpy_stream

SHARE = "repeats"  # in the plan
_OF_NONE = "[]"  # images of a round without new ones
_BETWEEN = 3  # tasks at least between a task and its repeat
Row = tuple[int, TaskMode, str, str]  # id, mode, images as JSON, prompt
_OWN = """
SELECT task.id, mode, shown, prompt, task.round FROM answer JOIN task ON task.id = task JOIN round ON number = round
WHERE rater = ? AND NOT undone AND images != '[]' ORDER BY answer.id
"""
_REPEATS = """
SELECT repeat.task, mode, shown, original, after,
    EXISTS (SELECT 1 FROM answer WHERE answer.task = repeat.task AND answer.rater = repeat.rater AND NOT undone)
FROM repeat JOIN task ON task.id = repeat.task WHERE repeat.rater = ? ORDER BY repeat.task
"""
_PAIRS = """
SELECT repeat.rater, one.id, one.mode, one.shown, first.said, other.id, other.shown, second.said
FROM repeat JOIN task AS one ON one.id = original JOIN task AS other ON other.id = repeat.task
JOIN answer AS first ON first.task = one.id AND first.rater = repeat.rater AND NOT first.undone
JOIN answer AS second ON second.task = other.id AND second.rater = repeat.rater AND NOT second.undone
WHERE first.said != ? AND second.said != ? ORDER BY repeat.task
"""


def due_repeat(file: sqlite3.Connection, rater: str) -> Row | None:
    """Return the repeat that a rater gets instead of the next task; None if none is due.

    The k-th one comes at a random place among as many of the rater's tasks as go with one repeat.

    Args:
        file: Ratings of the run, in a transaction.
        rater: Id of the rater.
    """
    share = planned(file, SHARE)
    (images,) = file.execute(f"SELECT images FROM round WHERE number = {NEWEST}").fetchone()
    if not share or images == _OF_NONE:
        return None
    own, repeats = file.execute(_OWN, (rater,)).fetchall(), file.execute(_REPEATS, (rater,)).fetchall()
    done = sum(answered for *_, answered in repeats)
    (first,) = file.execute("SELECT COALESCE(MAX(name), '0') FROM image WHERE first").fetchone()
    rng = numpy_stream(int(first[:8], 16), "repeats", done)  # the first image follows from the run's seed
    if len(own) < ceil((done + rng.random()) / share):
        return None
    prompts = {task: prompt for task, _, _, prompt, _ in own}
    for task, mode, shown, original, after, answered in repeats:
        if not answered and original in prompts and _has_files(file, shown):
            return (task, mode, shown, prompts[original]) if len(own) >= after else None  # or one was undone meanwhile
    taken = {original for _, _, _, original, *_ in repeats}
    fit = [row for row in own[: -_BETWEEN or None] if row[0] not in taken and _can_repeat(file, row, rater)]
    if not fit:
        return None
    task, mode, shown, prompt, number = sorted(fit)[int(rng.integers(len(fit)))]
    names = json.loads(shown)
    by = int(rng.integers(1, max(2, len(names)))) % len(names)  # no image stays where it was
    again = json.dumps([*names[by:], *names[:by]])
    insert = "INSERT INTO task (round, mode, shown) VALUES (?, ?, ?)"
    made = file.execute(insert, (-1 - number, mode, again)).lastrowid
    assert made is not None
    file.execute("INSERT INTO repeat VALUES (?, ?, ?, ?)", (made, task, rater, len(own)))
    return made, mode, again, prompt


def keep_for_repeats(file: sqlite3.Connection, kept: Collection[str]) -> list[str]:
    """Return the images of the newest round that are kept for repeats alone, and note that they are.

    Args:
        file: Ratings of the run, in a transaction.
        kept: Images that are kept in any case.
    """
    file.execute("DELETE FROM repeatable")
    if not planned(file, SHARE):
        return []
    shown = file.execute("SELECT shown FROM task WHERE round = (SELECT MAX(number) FROM round)")
    (first,) = file.execute("SELECT MAX(name) FROM image WHERE first").fetchone()
    names = {name for (images,) in shown for name in json.loads(images)} - {*kept, first}
    file.executemany("INSERT INTO repeatable VALUES (?)", [(name,) for name in names])
    return [*names]


def answered_twice(file: sqlite3.Connection) -> list[tuple[Rating, Rating]]:
    """Read what raters said of a task and of its repeat; those with a skip are left out."""
    return [
        (decode_rating(task, rater, said, mode, shown), decode_rating(again, rater, said_again, mode, shown_again))
        for rater, task, mode, shown, said, again, shown_again, said_again in file.execute(_PAIRS, (SKIPPED, SKIPPED))
    ]


def _can_repeat(file: sqlite3.Connection, row: tuple[int, TaskMode, str, str, int], rater: str) -> bool:
    said = file.execute("SELECT said FROM answer WHERE task = ? AND rater = ? AND NOT undone", (row[0], rater))
    return said.fetchone() != (SKIPPED,) and _has_files(file, row[2])


def _has_files(file: sqlite3.Connection, images: str) -> bool:
    """Whether the files of all images of a JSON list are kept."""
    names = json.loads(images)
    marks = ", ".join("?" * len(names))
    query = f"SELECT COUNT(*) FROM image WHERE png IS NOT NULL AND name IN ({marks})"
    (kept,) = file.execute(query, names).fetchone()
    return int(kept) == len(set(names))
