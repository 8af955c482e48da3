"""The closing duel: fresh choices between the best image and its rivals, and how long a run waits for them."""

import threading
import time
from collections import Counter

import pytest

from tests.support.rating import FILES, NAMES
from zo_dno.judges import closing_duel
from zo_dno.judges.closing_duel import Duel, duels, hold_duel, what_duels_say
from zo_dno.judges.rated_run import Plan
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import SKIPPED

BEST, FIRST, SECOND = NAMES[3], NAMES[0], NAMES[5]
THREE = {name: FILES[name] for name in (BEST, FIRST, SECOND)}


@pytest.fixture
def store(tmp_path):
    found = RatingStore(tmp_path / RATINGS)
    found.plan(repeats=0.5, duel=8)
    for rater in ("ada", "bob"):
        found.greet(rater, rater)
    found.post(FILES.items(), "dusk", [("best", NAMES[:4]), ("best", NAMES[2:])])
    while (task := found.next_task("ada")) is not None:
        found.rate("ada", task.id, task.shown[0])
    assert found.take(0) is not None
    yield found
    found.close()


def held(store, **options):
    """Hold a duel in a thread, until its tasks are there."""
    thread = threading.Thread(target=hold_duel, args=(store, THREE, "dusk", 4), kwargs=options)
    thread.start()
    while not store.has_task("ada"):
        time.sleep(0.005)
    return thread


def answer(store, rater, choose, most=99):
    """Answer tasks, at most so many; returns what was shown."""
    shown = []
    while len(shown) < most and (task := store.next_task(rater)) is not None:
        store.rate(rater, task.id, choose(task.shown))
        shown.append(task.shown)
    return shown


def test_fresh_choices_of_two_raters_who_disagree(store):
    before = (store.ratings(), store.rounds(), store.orders(NAMES))
    thread = held(store)
    assert str(store.work(store.progress(), Plan(6, True))) == "8 clicks left, to check the winner"
    pairs = answer(store, "ada", lambda shown: BEST, most=4) + answer(
        store, "bob", lambda shown: min({*shown} - {BEST})
    )
    thread.join()
    assert Counter(map(frozenset, pairs)) == {frozenset((BEST, FIRST)): 4, frozenset((BEST, SECOND)): 4}
    assert Counter(shown.index(BEST) for shown in pairs) == {0: 4, 1: 4}  # who always clicks on one side gets half
    assert all(set(one) != set(other) for one, other in zip(pairs[::2], pairs[1::2], strict=True))
    assert duels(store, BEST) == [Duel(FIRST, True, 2, 4), Duel(SECOND, False, 2, 4)]
    assert duels(store, FIRST) == []
    assert (store.ratings(), store.rounds(), store.orders(NAMES)) == before  # the search knows nothing of it


def test_a_duel_that_was_cut_off_is_continued_and_a_finished_one_is_not_repeated(store):
    stop = threading.Event()
    thread = held(store, is_stopped=stop.is_set)
    first = answer(store, "ada", lambda shown: BEST, most=3)
    stop.set()
    thread.join()
    assert not store.has_task("ada")
    assert sum(one.of for one in duels(store, BEST)) == 3
    thread = held(store)
    rest = answer(store, "ada", lambda shown: BEST)
    thread.join()
    assert len(first) + len(rest) == 8
    hold_duel(store, THREE, "dusk", 4)
    assert [(one.won, one.of) for one in duels(store, BEST)] == [(4, 4), (4, 4)]
    store.take(store.post([("f" * 64, b"file")], "", []))  # the run is resumed, with the same end
    hold_duel(store, THREE, "dusk", 4)
    assert not store.has_task("ada")


def test_a_search_that_is_resumed_gets_its_open_round_rated(store, monkeypatch):
    """It was cut off in a round, by a budget of seconds; a duel that was killed is over once there is a new round."""
    monkeypatch.setattr(closing_duel, "_NO_RATER", 0.0)
    new = [("f" * 64, b"file"), ("e" * 64, b"file")]
    number = store.post(new, "", [("compare", [name for name, _ in new])])
    hold_duel(store, THREE, "dusk", 4)
    assert store.post(new, "", []) == number == store.progress().rating_round
    store.rate("ada", store.next_task("ada").id, "e" * 64)
    assert len(store.take(number)) == 1
    with store.writing() as file:  # as after a kill
        file.execute("UPDATE round SET taken = 0 WHERE number IN (SELECT round FROM closing)")
    assert set(store.next_task("ada").shown) <= {*THREE}
    store.take(store.post([("d" * 64, b"file")], "", []))
    assert not store.has_task("ada")


def test_an_undone_choice_is_made_again_and_a_skip_counts_for_none(store):
    thread = held(store, patience=0.5)
    answer(store, "ada", lambda shown: SKIPPED)
    undone = store.undo("ada")
    store.rate("ada", undone.id, BEST)
    thread.join()
    assert [(one.won, one.of) for one in duels(store, BEST)] == [(1, 1)]


def test_a_run_without_a_rater_ends(store, monkeypatch):
    monkeypatch.setattr(closing_duel, "_NO_RATER", 0.0)
    monkeypatch.setattr(closing_duel, "_LAST_CLICK", 10**6)
    hold_duel(store, THREE, "dusk", 4)
    assert not store.has_task("ada")
    assert duels(store, BEST) == []
    monkeypatch.setattr(closing_duel, "_NO_RATER", 10**6)
    thread = held(store)
    answer(store, "ada", lambda shown: BEST, most=1)  # and goes
    time.sleep(0.3)
    assert thread.is_alive()
    monkeypatch.setattr(closing_duel, "_LAST_CLICK", 0.0)
    thread.join()
    assert not store.has_task("ada")


def test_what_a_duel_says_is_true_of_random_clicks_too():
    assert what_duels_say([Duel(FIRST, True, 3, 4), Duel(SECOND, False, 0, 4)]) == [
        "In fresh choices after the search, the best image was preferred to the first one in 3 of 4 and to the second "
        "best in 0 of 4; random clicks do as well in 31 and 100 of 100 cases."
    ]
    assert what_duels_say([]) == []
    assert Duel(FIRST, True, 4, 4).luck == 1 / 16
