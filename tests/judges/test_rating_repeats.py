"""Hidden repeats: who gets which task again, and that no search sees what is said of it."""

import sqlite3

import pytest

from tests.support.rating import FILES, NAMES
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import SKIPPED

FOURS = [tuple(NAMES[(start + i) % 6] for i in range(4)) for start in range(6)]


@pytest.fixture
def store(tmp_path):
    found = RatingStore(tmp_path / RATINGS)
    found.plan(repeats=0.5)
    found.greet("ada")
    yield found
    found.close()


def answer_all(store, rater="ada", choose=min):
    """Answer every task. Returns the tasks in the order in which they came."""
    tasks = []
    while (task := store.next_task(rater)) is not None:
        assert store.next_task(rater) == task  # as on a page that is loaded again
        store.rate(rater, task.id, choose(task.shown))
        tasks.append(task)
    return tasks


def test_some_tasks_come_again_in_another_order_and_count_for_nothing_else(store):
    number = store.post(FILES.items(), "dusk", [("best", shown) for shown in FOURS * 3])
    tasks = answer_all(store)
    seen, again = set(), []
    for place, task in enumerate(tasks):
        again += (
            [place] if task.id in seen or any(sorted(one.shown) == sorted(task.shown) for one in tasks[:place]) else []
        )
        seen.add(task.id)
    repeats = store.repeats()
    assert 7 <= len(repeats) <= 9
    assert len(tasks) == 18 + len(repeats)
    places = {task.id: place for place, task in enumerate(tasks)}
    for first, second in repeats:
        assert places[second.task] - places[first.task] > 3
        assert all(one != other for one, other in zip(first.shown, second.shown, strict=True))
        assert sorted(first.shown) == sorted(second.shown)
        assert first.order.ranked == second.order.ranked
    assert len({first.task for first, _ in repeats}) == len(repeats)
    assert len(store.ratings()) == len(store.take(number)) == len(store.orders(NAMES)) == 18
    assert (store.progress("ada").given, store.progress("ada").mine, store.progress().needed) == (18, 18, 18)
    assert len(store.open_tasks(number, "bob")) == 0
    assert [one.needed for one in store.rounds()] == [18]


def test_the_same_seed_repeats_the_same_tasks(tmp_path):
    shown = []
    for name in ("one", "other"):
        store = RatingStore(tmp_path / name)
        store.plan(repeats=0.3)
        store.post(FILES.items(), "", [("best", four) for four in FOURS * 2])
        shown.append([task.shown for task in answer_all(store)])
        store.close()
    assert shown[0] == shown[1]


def test_a_repeat_is_undone_and_skipped_like_any_task(store):
    number = store.post(FILES.items(), "dusk", [("compare", shown[:2]) for shown in FOURS * 2])
    other = store.open_tasks(number, "ada")
    while (task := store.next_task("ada")) in other:
        store.rate("ada", task.id, task.shown[0])
    assert task.prompt == "dusk"
    before = len(store.ratings())
    store.rate("ada", task.id, task.shown[1])
    assert len(store.repeats()) == 1
    assert store.undo("ada") == task == store.next_task("ada")
    assert not store.repeats()
    undone = store.undo("ada")  # the one before, which comes first then
    assert store.next_task("ada") == undone
    store.rate("ada", undone.id, undone.shown[0])
    assert store.next_task("ada") == task
    store.rate("ada", task.id, SKIPPED)
    assert not store.repeats()
    assert store.next_task("ada") in other  # it does not come a second time
    assert len(store.ratings()) == before


def test_each_rater_gets_own_tasks_again_and_no_search_waits_for_it(store):
    store.greet("bob")
    number = store.post(FILES.items(), "", [("compare", shown[:2]) for shown in FOURS * 2])
    regular = {task.id for task in store.open_tasks(number, "x")}
    while (task := store.next_task("ada")).id in regular:
        store.rate("ada", task.id, task.shown[0])
    mine = {one.task for one in store.ratings()}
    others = answer_all(store, "bob")
    assert mine.isdisjoint(first.task for first, _ in store.repeats())
    assert mine.isdisjoint(one.id for one in others)
    assert store.take(number) is not None  # although ada has not answered
    assert store.next_task("ada") is None
    store.rate("ada", task.id, task.shown[0])  # which comes late, and is welcome
    assert {first.rater for first, _ in store.repeats()} == {"ada", "bob"}


def test_images_of_the_last_round_are_kept_for_repeats_alone(store):
    number = store.post(FILES.items(), "", [("compare", shown[:2]) for shown in FOURS])
    answer_all(store)
    store.take(number)
    store.settle(dict.fromkeys(NAMES, 0.0), keep=NAMES[1:2])
    assert store.showable() == set(NAMES[:2])  # the first one, and the one that is kept
    assert all(store.png(name) is not None for name in NAMES)
    files = {f"{number:064x}": b"file" for number in range(2)}
    number = store.post(files.items(), "", [("compare", tuple(files))] * 12)
    tasks = answer_all(store)
    assert any(set(task.shown) <= set(NAMES) for task in tasks)
    store.take(number)
    store.settle({}, keep=[])
    assert store.png(NAMES[3]) is None


def test_a_file_of_an_earlier_version_has_no_repeats(tmp_path):
    store = RatingStore(tmp_path / RATINGS)
    store.post(FILES.items(), "", [("compare", shown[:2]) for shown in FOURS * 2])
    store.close()
    with sqlite3.connect(tmp_path / RATINGS) as file:
        for table in ("repeat", "repeatable", "plan"):
            file.execute(f"DROP TABLE {table}")
    file.close()
    store = RatingStore(tmp_path / RATINGS)
    assert len(answer_all(store)) == 12
    assert not store.repeats()
    store.close()
