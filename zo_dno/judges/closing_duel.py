"""The closing duel: after the search, fresh choices between the best image and its rivals.

The search's own choices flatter its winner: it won because it was chosen. Fresh ones do not.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tables import ratings_of
from zo_dno.oracle.ctrl_c import deferred
from zo_dno.rng import numpy_stream

_NO_RATER = 5.0  # seconds for a rater to come
_LAST_CLICK = 60.0  # seconds after the last sign of a rater
_POLL = 0.1


@dataclass(frozen=True, slots=True)
class Duel:
    """The choices between the best image and one rival.

    Attributes:
        image: Name of the rival.
        is_first: Whether the rival is the first image of the run; otherwise it is the second best.
        won: Number of choices that preferred the best image.
        of: Number of choices.
    """

    image: str
    is_first: bool
    won: int
    of: int

    @property
    def luck(self) -> float:
        """Probability that random clicks prefer the best image as often, or more often."""
        return float(sum(comb(self.of, n) for n in range(self.won, self.of + 1)) / 2**self.of)

    def __str__(self) -> str:
        return f"to {'the first one' if self.is_first else 'the second best'} in {self.won} of {self.of}"


def hold_duel(
    store: RatingStore,
    images: Mapping[str, bytes],
    prompt: str,
    clicks: int,
    *,
    patience: float = 0.0,
    is_stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Show the best image beside each rival, and wait for the choices as long as there is a rater.

    A duel that was held before is not repeated; one that was cut off is continued. Ctrl-C cuts it off: the choices so
    far are kept, and nothing is raised.

    Args:
        store: Ratings of the run.
        images: PNG files of the best image and of its rivals, by name, the best first.
        prompt: Prompt that the images were rendered for.
        clicks: Number of choices between the best image and each rival.
        patience: Seconds after the last choice in which it can still be undone.
        is_stopped: Function that says whether the run is to end at once.
    """
    with deferred(lambda: None) as is_pressed:  # which would cut transactions, too
        number, seen, since = _post(store, images, prompt, clicks), (0, 0.0), time.monotonic()
        while store.take(number, patience) is None and not (is_stopped() or is_pressed()):
            if (now := _signs(store, number)) != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() - since > (_LAST_CLICK if any(seen) else _NO_RATER):
                break
            time.sleep(_POLL)
        with store.writing() as file:  # no page shows it any longer
            file.execute("UPDATE round SET taken = 1 WHERE number = ?", (number,))


def duels(store: RatingStore, best: str) -> list[Duel]:
    """Return the closing duels of an image against those that were its rivals last; without any choice, none."""
    with store.writing() as file:
        rows = file.execute("SELECT round, images FROM closing ORDER BY round").fetchall()
        rounds = [
            (number, names) for number, names in ((row[0], json.loads(row[1])) for row in rows) if names[0] == best
        ]
        orders = [one.order for number, _ in rounds for one in ratings_of(file, number) if one.order is not None]
        (first,) = file.execute("SELECT MAX(name) FROM image WHERE first").fetchone()
    rivals = rounds[-1][1][1:] if rounds else []
    won = {rival: [one.ranked[0] == best for one in orders if rival in one.shown] for rival in rivals}
    return [Duel(rival, rival == first, sum(found), len(found)) for rival, found in won.items() if found]


def what_duels_say(found: Sequence[Duel]) -> list[str]:
    """Say how often the best image was preferred in fresh choices, and how often chance alone would do as well."""
    if not found:
        return []
    won, luck = " and ".join(map(str, found)), " and ".join(f"{100 * one.luck:.0f}" for one in found)
    said = f"In fresh choices after the search, the best image was preferred {won}"
    return [f"{said}; random clicks do as well in {luck} of 100 cases."]


def _post(store: RatingStore, images: Mapping[str, bytes], prompt: str, clicks: int) -> int:
    """Begin a duel, or open again what is left of the same one. Returns the number of its round."""
    names = list(images)
    key = json.dumps(names)
    with store.writing() as file:
        (newest,) = file.execute("SELECT COALESCE(MAX(number), -1) FROM round").fetchone()
        found = file.execute("SELECT MAX(round) FROM closing WHERE images = ?", (key,)).fetchone()[0]
        if found is not None:
            left = (
                "EXISTS (SELECT 1 FROM task WHERE round = number"
                " AND id NOT IN (SELECT task FROM answer WHERE NOT undone))"
            )
            (unfinished,) = file.execute(f"SELECT {left} FROM round WHERE number = ?", (found,)).fetchone()
            if unfinished and found == newest:
                file.execute("UPDATE round SET taken = 0 WHERE number = ?", (found,))
            if found == newest or not unfinished:
                return int(found)
        keep = "INSERT INTO image (name, png) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET png = excluded.png"
        file.executemany(keep, [*images.items()])
        number = int(newest) + 1
        file.execute("INSERT INTO round VALUES (?, '[]', ?, 1, 0)", (number, prompt))
        file.execute("INSERT INTO closing VALUES (?, ?)", (number, key))
        rows = [(number, "compare", json.dumps(shown)) for shown in _tasks(names, clicks)]
        file.executemany("INSERT INTO task (round, mode, shown) VALUES (?, ?, ?)", rows)
        return number


def _tasks(names: Sequence[str], clicks: int) -> list[tuple[str, str]]:
    """Plan the pairs in turn; the best image is on each side equally often, in random order."""
    best, *rivals = names
    rng = numpy_stream(int(best[:8], 16), "closing duel")
    sides = {rival: rng.permutation([n % 2 for n in range(clicks)]) for rival in rivals}
    return [
        (best, rival) if sides[rival][click] else (rival, best)
        for click in range(clicks)
        for rival in rng.permutation(rivals).tolist()
    ]


def _signs(store: RatingStore, number: int) -> tuple[int, float]:
    """Return what changes when a rater opens a task of a round, or answers it; zeros before that."""
    with store.writing() as file:
        (count,) = file.execute(
            "SELECT COUNT(*) FROM answer JOIN task ON task.id = task WHERE round = ? AND NOT undone", (number,)
        ).fetchone()
        (leased,) = file.execute(
            "SELECT COALESCE(MAX(leased_until), 0) FROM task WHERE round = ?", (number,)
        ).fetchone()
    return int(count), float(leased)
