"""The tables of a file of ratings, and what is read from them in one transaction."""

import sqlite3

from zo_dno.judges.rating_tasks import Progress, Rating, decode_rating

TABLES = """
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
CREATE TABLE IF NOT EXISTS repeat (
    task INTEGER PRIMARY KEY, original INTEGER NOT NULL, rater TEXT NOT NULL, after INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS closing (round INTEGER PRIMARY KEY, images TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ladder (round INTEGER PRIMARY KEY, distances TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS repeatable (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS plan (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
"""
BESIDE = "SELECT round FROM closing UNION SELECT round FROM ladder"  # rounds whose ratings score no image
# A task that repeats one of round n has round -1 - n, so that no count of a round's tasks and ratings includes it.
ROUND_OF_TASK = "round.number = MAX(task.round, -1 - task.round)"
# The round that raters work on: the newest one that the search waits for, or else the newest.
NEWEST = "COALESCE((SELECT MAX(number) FROM round WHERE NOT taken), (SELECT MAX(number) FROM round), -1)"
OPEN_TASK = f"""
SELECT task.id, mode, shown, prompt FROM task JOIN round ON number = round
WHERE NOT taken AND round = {NEWEST}
  AND (SELECT COUNT(*) FROM answer WHERE answer.task = task.id AND NOT undone) < votes
  AND NOT EXISTS (SELECT 1 FROM answer WHERE answer.task = task.id AND rater = ? AND NOT undone)
ORDER BY leased_to IS NOT ?, leased_until > ?, task.id LIMIT 1
"""  # the task that the rater holds first, then the tasks that no rater holds


def progress_of(file: sqlite3.Connection, number: int, rater: str = "") -> Progress:
    """Read the progress of a round."""
    needed, given, mine = file.execute(
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
    return Progress(number, given, needed, mine, raters)


def ratings_of(file: sqlite3.Connection, number: int | None = None) -> list[Rating]:
    """Read the ratings of a round, or of all rounds of the search; those of repeated tasks are left out."""
    rows = file.execute(
        "SELECT task, rater, said, mode, shown FROM answer JOIN task ON task.id = task"
        " WHERE NOT undone AND round >= 0 AND"
        f" IIF(?1 IS NULL, round NOT IN ({BESIDE}), round = ?1) ORDER BY task, rater",
        (number,),
    )
    return [decode_rating(*row) for row in rows]


def planned(file: sqlite3.Connection, name: str) -> float:
    """Read a number that the search planned for its raters; 0 where it planned none."""
    row = file.execute("SELECT value FROM plan WHERE name = ?", (name,)).fetchone()
    return float(row[0]) if row else 0.0
