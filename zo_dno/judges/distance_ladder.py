"""The ladder on the rating page: before a search near liked noise, a rater chooses the distance that it keeps."""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tables import ratings_of
from zo_dno.oracle.ctrl_c import deferred

_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Rung:
    """A row of a ladder, as a rater sees it.

    Attributes:
        distance: Distance from what is liked.
        images: Names of the images at that distance.
    """

    distance: float
    images: tuple[str, ...]

    @property
    def words(self) -> str:
        """The distance in words, such as "0.1" or "1, nothing is kept"."""
        return f"{self.distance:g}{', nothing is kept' if self.distance == 1 else ''}"


def ask_distance(
    store: RatingStore,
    rungs: Mapping[float, Sequence[tuple[str, bytes]]],
    prompt: str,
    *,
    patience: float = 0.0,
    is_stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Show images at several distances, and wait until a rater has chosen one or skipped the choice.

    A ladder of the same images is not shown again. Ctrl-C ends the wait, and nothing is raised.

    Args:
        store: Ratings of the run.
        rungs: Names and PNG files of the images, as many at each distance; the distances rise.
        prompt: Prompt that the images were rendered for.
        patience: Seconds after the choice in which it can still be undone.
        is_stopped: Function that says whether the run is to end at once.
    Returns:
        Whether the choice is made; False if it was cut off.
    """
    with deferred(lambda: None) as is_pressed:  # which would cut transactions, too
        number = _post(store, rungs, prompt)
        while store.take(number, patience) is None:
            if is_stopped() or is_pressed():
                return False
            time.sleep(_POLL)
    return True


def rungs_of(store: RatingStore, shown: Sequence[str]) -> list[Rung]:
    """Return the rows of a task that shows a ladder."""
    with store.writing() as file:
        _, distances = _ladder(file)
    return _rungs(distances, shown)


def chosen_distance(store: RatingStore) -> float | None:
    """Return the distance that a rater chose; None where none did."""
    with store.writing() as file:
        number, distances = _ladder(file)
        ratings = ratings_of(file, number) if distances else []
    for one in ratings:
        if one.order is not None:
            rungs = _rungs(distances, one.shown)
            return next((rung.distance for rung in rungs if rung.images[0] == one.order.ranked[0]), None)
    return None


def what_ladder_says(store: RatingStore) -> list[str]:
    """Say which distance was chosen before the search, and what that means; nothing where none was."""
    distance = chosen_distance(store)
    if distance is None:
        return []
    with store.writing() as file:
        _, distances = _ladder(file)
    others = ", ".join(f"{one:g}" for one in distances if one != distance)
    kept = "All images but the first were searched at that distance from what was liked."
    return [f"Before the search, distance {distance:g} was chosen instead of {others}. {kept}"]


def _post(store: RatingStore, rungs: Mapping[float, Sequence[tuple[str, bytes]]], prompt: str) -> int:
    """Begin a ladder, unless there is one. Returns the number of its round."""
    with store.writing() as file:
        number, known = _ladder(file)
        if known:
            return number
        files = {name: png for row in rungs.values() for name, png in row}
        keep = "INSERT INTO image (name, png) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET png = excluded.png"
        file.executemany(keep, [*files.items()])
        (number,) = file.execute("SELECT COALESCE(MAX(number), -1) + 1 FROM round").fetchone()
        file.execute("INSERT INTO round VALUES (?, '[]', ?, 1, 0)", (number, prompt))
        file.execute("INSERT INTO ladder VALUES (?, ?)", (number, json.dumps([*rungs])))
        shown = json.dumps([name for row in rungs.values() for name, _ in row])
        file.execute("INSERT INTO task (round, mode, shown) VALUES (?, 'distance', ?)", (number, shown))
        return int(number)


def _ladder(file: sqlite3.Connection) -> tuple[int, list[float]]:
    """Read the round and the distances of the ladder; -1 and none where there is no ladder."""
    row = file.execute("SELECT round, distances FROM ladder ORDER BY round DESC LIMIT 1").fetchone()
    return (int(row[0]), json.loads(row[1])) if row else (-1, [])


def _rungs(distances: Sequence[float], shown: Sequence[str]) -> list[Rung]:
    each = len(shown) // max(1, len(distances))
    return [Rung(one, tuple(shown[n * each : (n + 1) * each])) for n, one in enumerate(distances)]
