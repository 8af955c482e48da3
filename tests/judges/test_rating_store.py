import multiprocessing
import os
import signal
import threading
import time

import pytest

from zo_dno.judges.rating_store import Ratings
from zo_dno.judges.rating_tasks import SKIPPED, RatingError

IMAGES = [(letter * 64, f"file {letter}".encode()) for letter in "abcd"]
A, B, C, D = (name for name, _ in IMAGES)
PAIRS = [("compare", (A, B)), ("compare", (C, D))]


@pytest.fixture
def ratings(tmp_path):
    found = Ratings(tmp_path / "ratings.db")
    found.greet("ada")
    found.greet("bob")
    yield found
    found.close()


def test_a_round_is_taken_once_everything_is_said(ratings):
    number = ratings.post(IMAGES, "a prompt", PAIRS)
    first = ratings.next_task("ada")
    assert (first.mode, first.shown, first.prompt) == ("compare", (A, B), "a prompt")
    ratings.answer("ada", first.id, B)
    assert ratings.take(number) is None
    ratings.answer("ada", ratings.next_task("ada").id, C)
    said = ratings.take(number)
    assert [one.order.ranked for one in said] == [(B,), (C,)]
    assert ratings.take(number) == said  # as after a crash of the search
    assert ratings.next_task("ada") is None


def test_raters_who_share_a_name_are_told_apart(ratings):
    ratings.greet("ada", "Kim")
    ratings.greet("bob", "Kim")
    ratings.greet("cy", "Cy")
    assert ratings.names() == {"ada": "Kim (ada)", "bob": "Kim (bob)", "cy": "Cy"}


def test_the_same_images_are_not_posted_twice(ratings):
    assert ratings.post(IMAGES, "", PAIRS) == ratings.post(IMAGES, "", PAIRS) == 0
    assert ratings.progress().asked == 2


def test_two_raters_are_given_different_tasks(ratings):
    ratings.post(IMAGES, "", PAIRS)
    first, second = ratings.next_task("ada"), ratings.next_task("bob")
    assert first.id != second.id
    assert ratings.next_task("ada") == first  # their own again, after loading the page anew
    ratings.answer("ada", first.id, A)
    assert ratings.next_task("ada") == second  # rather than nothing, if the other one went away


def test_every_vote_is_waited_for(ratings):
    number = ratings.post(IMAGES, "", [("rate", (A,))], votes=2)
    task = ratings.next_task("ada")
    ratings.answer("ada", task.id, 4)
    assert ratings.next_task("ada") is None
    assert ratings.take(number) is None
    assert ratings.next_task("bob") == task
    ratings.answer("bob", task.id, 8.5)
    assert sorted(one.value for one in ratings.take(number)) == [4, 8.5]


def test_undo_asks_again(ratings):
    number = ratings.post(IMAGES, "", [("rate", (A,))])
    task = ratings.next_task("ada")
    ratings.answer("ada", task.id, 3)
    assert ratings.take(number, patience=60) is None  # it may still be undone
    assert ratings.undo("ada") == task == ratings.next_task("ada")
    ratings.answer("ada", task.id, SKIPPED)
    (said,) = ratings.take(number)
    assert (said.value, said.order) == (None, None)
    with pytest.raises(RatingError, match="the search has used your last answer"):
        ratings.undo("ada")
    with pytest.raises(RatingError, match="There is nothing to undo."):
        ratings.undo("bob")


@pytest.mark.parametrize(
    ("mode", "shown", "said", "message"),
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
def test_what_does_not_fit_is_refused(ratings, mode, shown, said, message):
    ratings.post(IMAGES, "", [(mode, shown)])
    task = ratings.next_task("ada")
    with pytest.raises(RatingError, match=message):
        ratings.answer("ada", task.id, said)
    assert ratings.clicks() == 0
    assert ratings.next_task("ada") == task


def test_an_answer_counts_once(ratings):
    ratings.post(IMAGES, "", PAIRS)
    task = ratings.next_task("ada")
    _, serial = ratings.greet("ada")
    ratings.answer("ada", task.id, A, serial)
    with pytest.raises(RatingError, match="out of date"):
        ratings.answer("ada", task.id, B, serial)
    with pytest.raises(RatingError, match="answered this already"):
        ratings.answer("ada", task.id, B)
    with pytest.raises(RatingError, match="no such question"):
        ratings.answer("ada", 10**9, B)
    assert ratings.clicks() == 1


def test_only_images_that_may_be_shown_again_are_kept(ratings):
    number = ratings.post(IMAGES, "", [("rate", (A,))])
    ratings.answer("ada", ratings.next_task("ada").id, 3)
    ratings.take(number)
    ratings.settle({A: 0.0, B: 3.0, C: 1.0, D: 2.0}, keep=[C])
    assert [ratings.png(name) is not None for name in (A, B, C, D)] == [True, True, True, False]
    assert ratings.before_and_best() == ((A, 0.0), (B, 3.0))
    ratings.settle({A: 9.0}, keep=[])
    assert ratings.scores() == {A: 0.0, B: 3.0, C: 1.0, D: 2.0}  # what was told stays


def _answer_and_die(path):
    ratings = Ratings(path)
    ratings.greet("ada")
    ratings.answer("ada", ratings.next_task("ada").id, A)
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_answer_survives_a_kill(tmp_path):
    ratings = Ratings(tmp_path / "ratings.db")
    ratings.post(IMAGES, "", PAIRS)
    process = multiprocessing.get_context("spawn").Process(target=_answer_and_die, args=(tmp_path / "ratings.db",))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert ratings.clicks() == 1


def test_many_raters_at_once_lose_nothing(tmp_path):
    ratings = Ratings(tmp_path / "ratings.db")
    number = ratings.post(IMAGES, "", [("rate", (A,))] * 60)
    gave = []

    def rate(rater):
        own = Ratings(tmp_path / "ratings.db")
        own.greet(rater)
        while (task := own.next_task(rater)) is not None:
            try:
                own.answer(rater, task.id, 5)
            except RatingError:  # another one was faster
                continue
            gave.append(task.id)
        own.close()

    threads = [threading.Thread(target=rate, args=(f"rater {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    while ratings.take(number) is None:
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert len(ratings.take(number)) == len(gave) >= 60
    assert set(gave) == set(range(1, 61))
