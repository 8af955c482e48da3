"""The tables of a ledger, and the migrations of older files to them."""

import sqlite3

from zo_dno.errors import InputError

_FIRST = """
CREATE TABLE IF NOT EXISTS query (
    stage TEXT, id INTEGER, population INTEGER, image TEXT, prompt TEXT, reward TEXT, reward_version TEXT, status TEXT,
    value REAL, told REAL, log_prob REAL, norm_ratio REAL, whiteness REAL, feasible INTEGER, error TEXT, seconds REAL,
    cost REAL, raw TEXT, PRIMARY KEY (stage, id)
);
"""

_RESUMABLE = """
ALTER TABLE query RENAME TO old;
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE population (
    stage TEXT, number INTEGER, first_id INTEGER, size INTEGER, noise TEXT,
    seconds REAL, generate_seconds REAL, score_seconds REAL, strategy_seconds REAL,
    PRIMARY KEY (stage, number)
) WITHOUT ROWID;
CREATE TABLE artefact (
    path TEXT PRIMARY KEY, kind TEXT, sha256 TEXT, stage TEXT, id INTEGER
) WITHOUT ROWID;
CREATE TABLE query (
    stage TEXT, id INTEGER, population INTEGER, image TEXT, prompt TEXT, oracle TEXT, version TEXT,
    repeat INTEGER, rater TEXT, status TEXT, value REAL, told REAL, told_seq INTEGER,
    log_prob REAL, norm_ratio REAL, whiteness REAL, violation REAL, feasible INTEGER,
    cached INTEGER, attempts INTEGER, failures TEXT, kind TEXT, error TEXT,
    seconds REAL, tokens INTEGER, cost REAL, raw TEXT,
    PRIMARY KEY (stage, id, oracle, repeat, rater)
) WITHOUT ROWID;
INSERT INTO query SELECT
    stage, id, population, image, prompt, reward, reward_version, 0, '', status, value, told, NULL,
    log_prob, norm_ratio, whiteness, NULL, feasible, 0, 1, '', NULL, error, seconds, 0, cost, raw FROM old;
DROP TABLE old;
"""

_DETAILED = """
ALTER TABLE query ADD COLUMN spread REAL;
ALTER TABLE query ADD COLUMN shortfall REAL NOT NULL DEFAULT 0;
ALTER TABLE query ADD COLUMN parts TEXT;
"""

_SCREENED = """
CREATE TABLE feature (stage TEXT, id INTEGER, vector BLOB, PRIMARY KEY (stage, id)) WITHOUT ROWID;
"""

_FLAGGED = """
ALTER TABLE query ADD COLUMN perturbed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE query ADD COLUMN of_term INTEGER NOT NULL DEFAULT 0;
UPDATE query SET perturbed = 1 WHERE feasible = 0 AND violation = 0;
UPDATE query SET of_term = 1 WHERE stage LIKE '%.part';
"""

MIGRATIONS = (_FIRST, _RESUMABLE, _DETAILED, _SCREENED, _FLAGGED)  # from version n to version n + 1


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a ledger, which may be empty, to the newest version, each step whole or not at all.

    Raises:
        InputError: A later version of zo-dno wrote the file.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise InputError(
            f"ledger has version {version}; this zo-dno reads versions up to {len(MIGRATIONS)}. Upgrade zo-dno."
        )
    for number in range(version, len(MIGRATIONS)):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        except sqlite3.Error:
            connection.rollback()
            raise
