import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from concurrent.futures import Future

import pytest

from tests.support.clocks import PATIENCE
from zo_dno.judges import rating_store
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tasks import SKIPPED, RatingError

IMAGES = [(letter * 64, f"file {letter}".encode()) for letter in "abcd"]
A, B, C, D = (name for name, _ in IMAGES)
PAIRS = [("compare", (A, B)), ("compare", (C, D))]


@pytest.fixture
def store(tmp_path):
    found = RatingStore(tmp_path / "ratings.db")
    found.greet("ada")
    found.greet("bob")
    yield found
    found.close()


def test_a_round_is_taken_once_it_is_complete(store):
    number = store.post(IMAGES, "a prompt", PAIRS)
    first = store.next_task("ada")
    assert (first.mode, first.shown, first.prompt) == ("compare", (A, B), "a prompt")
    store.rate("ada", first.id, B)
    assert store.take(number) is None
    store.rate("ada", store.next_task("ada").id, C)
    ratings = store.take(number)
    assert [one.order.ranked for one in ratings] == [(B,), (C,)]
    assert store.take(number) == ratings  # as after a crash of the search
    assert store.next_task("ada") is None


def test_raters_who_share_a_name_are_told_apart(store):
    store.greet("ada", "Kim")
    store.greet("bob", "Kim")
    store.greet("cy", "Cy")
    assert store.names() == {"ada": "Kim (ada)", "bob": "Kim (bob)", "cy": "Cy"}


def test_the_same_images_are_not_posted_twice(store):
    assert store.post(IMAGES, "", PAIRS) == store.post(IMAGES, "", PAIRS) == 0
    assert store.progress().needed == 2
    store.post(IMAGES[:1], "", [("rate", (A,))], votes=3)
    assert [(one.images, one.needed, one.together) for one in store.rounds()] == [((A, B, C, D), 2, 2), ((A,), 3, 1)]


def test_two_raters_are_given_different_tasks(store):
    store.post(IMAGES, "", PAIRS)
    first, second = store.next_task("ada"), store.next_task("bob")
    assert first.id != second.id
    assert store.next_task("ada") == first  # the same task, after the page was reloaded
    store.rate("ada", first.id, A)
    assert store.next_task("ada") == second  # rather than none, if the other rater has left


def test_a_round_waits_for_every_vote(store):
    number = store.post(IMAGES, "", [("rate", (A,))], votes=2)
    task = store.next_task("ada")
    store.rate("ada", task.id, 4)
    assert store.next_task("ada") is None
    assert store.take(number) is None
    assert store.next_task("bob") == task
    store.rate("bob", task.id, 8.5)
    assert sorted(one.value for one in store.take(number)) == [4, 8.5]


def test_a_clock_that_was_set_back_does_not_delay_the_search(store, monkeypatch):
    number = store.post(IMAGES, "", [("rate", (A,))])
    store.rate("ada", store.next_task("ada").id, 3)
    assert store.take(number, patience=60) is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert [one.value for one in store.take(number, patience=60)] == [3]


def test_undo_reopens_the_task(store):
    number = store.post(IMAGES, "", [("rate", (A,))])
    task = store.next_task("ada")
    assert not store.can_undo("ada")
    store.rate("ada", task.id, 3)
    assert store.take(number, patience=60) is None  # it may still be undone
    assert (store.can_undo("ada"), store.can_undo("bob")) == (True, False)
    assert store.undo("ada") == task == store.next_task("ada")
    store.rate("ada", task.id, SKIPPED)
    (rating,) = store.take(number)
    assert (rating.value, rating.order) == (None, None)
    assert not store.can_undo("ada")
    with pytest.raises(RatingError, match="the search has used your last rating"):
        store.undo("ada")
    with pytest.raises(RatingError, match="There is nothing to undo."):
        store.undo("bob")


@pytest.mark.parametrize(
    ("mode", "shown", "rating", "message"),
    [
        ("rate", (A,), 10.5, "a number from 0 to 10"),
        ("rate", (A,), -1, "a number from 0 to 10"),
        ("rate", (A,), float("nan"), "a number from 0 to 10"),
        ("rate", (A,), A, "a number from 0 to 10"),
        ("compare", (A, B), C, "One of the images must be chosen"),
        ("compare", (A, B), [A, B], "One of the images must be chosen"),
        ("compare", (A, B), 3, "One of the images must be chosen"),
        ("rank", (A, B, C), [A, B], "Every image needs a place of its own"),
        ("rank", (A, B, C), [A, B, B], "Every image needs a place of its own"),
        ("rank", (A, B, C), [A, B, D], "Every image needs a place of its own"),
    ],
)
def test_a_rating_that_does_not_fit_is_refused(store, mode, shown, rating, message):
    store.post(IMAGES, "", [(mode, shown)])
    task = store.next_task("ada")
    with pytest.raises(RatingError, match=message):
        store.rate("ada", task.id, rating)
    assert len(store.ratings()) == 0
    assert store.next_task("ada") == task


def test_a_rating_counts_once(store):
    store.post(IMAGES, "", PAIRS)
    task = store.next_task("ada")
    _, serial = store.greet("ada")
    store.rate("ada", task.id, A, serial)
    with pytest.raises(RatingError, match="out of date"):
        store.rate("ada", task.id, B, serial)
    with pytest.raises(RatingError, match="rated this already"):
        store.rate("ada", task.id, B)
    with pytest.raises(RatingError, match="no such task"):
        store.rate("ada", 10**9, B)
    assert len(store.ratings()) == 1


def test_only_images_that_may_be_shown_again_are_kept(store):
    number = store.post(IMAGES, "", [("rate", (A,))])
    store.rate("ada", store.next_task("ada").id, 3)
    store.take(number)
    store.settle({A: 0.0, B: 3.0, C: 1.0, D: 2.0}, keep=[C])
    assert [store.png(name) is not None for name in (A, B, C, D)] == [True, True, True, False]
    assert store.first_and_best() == ((A, 0.0), (B, 3.0))
    store.settle({A: 9.0}, keep=[])
    assert store.scores() == {A: 0.0, B: 3.0, C: 1.0, D: 2.0}  # scores are final


def _rate_and_die(path):
    store = RatingStore(path)
    store.greet("ada")
    store.rate("ada", store.next_task("ada").id, A)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_rating_survives_a_kill(tmp_path):
    store = RatingStore(tmp_path / "ratings.db")
    store.post(IMAGES, "", PAIRS)
    process = multiprocessing.get_context("spawn").Process(target=_rate_and_die, args=(tmp_path / "ratings.db",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(store.ratings()) == 1


def test_many_raters_at_once_lose_nothing(tmp_path):
    store = RatingStore(tmp_path / "ratings.db")
    number = store.post(IMAGES, "", [("rate", (A,))] * 60)
    gave = []

    def rate(rater):
        own = RatingStore(tmp_path / "ratings.db")
        own.greet(rater)
        while (task := own.next_task(rater)) is not None:
            try:
                own.rate(rater, task.id, 5)
            except RatingError:  # another rater was faster
                continue
            gave.append(task.id)
        own.close()

    threads = [threading.Thread(target=rate, args=(f"rater {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    while store.take(number) is None:
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert len(store.take(number)) == len(gave) >= 60
    assert set(gave) == set(range(1, 61))


def in_another_thread(work):
    """Return what a call raises in a thread of its own, which must end."""
    done = Future()

    def run():
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done.exception(timeout=PATIENCE)


def test_a_store_that_is_locked_or_closed_raises_in_every_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(rating_store, "_WAIT", 0.0)
    store = RatingStore(tmp_path / "ratings.db")
    with sqlite3.connect(tmp_path / "ratings.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            store.greet("ada")
        assert "locked" in str(in_another_thread(lambda: store.greet("bob")))
        other.execute("ROLLBACK")
    other.close()
    assert in_another_thread(lambda: store.greet("bob")) is None
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store.greet("ada")
    assert "closed" in str(in_another_thread(lambda: store.greet("bob")))


class CannotCommit:
    """A file whose disk is full once a transaction ends."""

    def __init__(self, file):
        self._file = file

    def execute(self, words, *values):
        if words == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._file.execute(words, *values)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_transaction_that_cannot_end_is_undone(store):
    file, store._file = store._file, CannotCommit(store._file)
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        store.greet("cy")
    store._file = file
    assert set(store.names()) == {"ada", "bob"}
    store.greet("cy")
    assert set(store.names()) == {"ada", "bob", "cy"}


def test_a_transaction_that_the_disk_ended_says_why(store):
    with pytest.raises(sqlite3.OperationalError, match="disk is full"), store.writing() as file:
        file.execute("ROLLBACK")  # as SQLite does where the disk is full
        raise sqlite3.OperationalError("database or disk is full")
    store.greet("cy")
