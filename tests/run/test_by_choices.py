"""Runs whose reward is people's choices: what the strategy learns from them, and who wins."""

import io
import itertools
import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.markup import number
from zo_dno.results.report import run_report
from zo_dno.results.verdict import what_choices_say
from zo_dno.rewards.human import Human
from zo_dno.rng import numpy_stream
from zo_dno.run.by_choices import fitted
from zo_dno.storage.ledger import Ledger
from zo_dno.surrogate.preference import log_odds_against_chance
from zo_dno.types import Choice, Order

OPTIONS = {"seed": 1, "horizon": 32, "threads": 1, "strategy_options": {"renders": 4}}


class Clicks:
    """Answers every task of a run at once, by a function of the brightnesses of the images shown."""

    def __init__(self, choose):
        self.choose, self.tasks = choose, []

    def __call__(self, store):
        def click(task):
            bright = [float(np.asarray(Image.open(io.BytesIO(store.png(name)))).mean()) for name in task.shown]
            self.tasks.append(task.shown)
            store.rate("ada", task.id, task.shown[self.choose(bright)])

        return self.over(store, click)

    @staticmethod
    def over(store, answer):
        """Answer tasks in a thread until the returned function is called."""
        ended = threading.Event()

        def click():
            while not ended.wait(0.002):
                task = store.next_task("ada")
                if task is not None:
                    answer(task)

        store.greet("ada")
        thread = threading.Thread(target=click, daemon=True)
        thread.start()

        def end():
            ended.set()
            thread.join()

        return end


def run(clicks, out=None, strategy="surrogate", **options):
    reward = Human(patience=0, repeats=0, duel=0)
    reward.show = clicks
    return zo_dno.optimize(ToyGenerator(), reward, strategy, out=out, **{**OPTIONS, "queries": 32, **options})


def _rated(store):
    return Clicks(None).over(store, lambda task: store.rate("ada", task.id, 5.0))


def brightest(bright):
    return int(np.argmax(bright))


def test_a_consistent_rater_is_learnt_from_and_the_best_liked_image_wins():
    clicks = Clicks(brightest)
    result = run(clicks, queries=56, horizon=56)
    shown = [float(found.image.mean()) for found in result.improvements]
    assert float(result.best.image.mean()) > shown[0] + 10
    assert result.choices == len(clicks.tasks) == 4 + 5 * 3
    assert result.evidence > math.log(20)
    assert result.best.error > 0
    assert result.best.n_scores >= 1
    assert result.baseline is None  # scores of later populations are no draws of the prior


def test_random_clicks_are_not_taken_for_a_preference(tmp_path):
    rng = numpy_stream(3, "clicks")
    result = run(Clicks(lambda bright: int(rng.integers(len(bright)))), tmp_path / "run")
    assert result.evidence < math.log(20)
    page = run_report(tmp_path / "run")
    assert "10 choices, which the search did not predict clearly better than chance" in page
    assert f"± {number(result.best.error)}" in page
    assert what_choices_say(result.choices, result.evidence).endswith("they may be random clicks")


def test_random_choices_are_as_likely_as_by_chance_on_average_whatever_was_predicted():
    utilities = torch.tensor([0.3, -1.0, 2.5, 0.0])
    odds = [
        math.exp(log_odds_against_chance(utilities, [Choice((best,), tuple(set(range(4)) - {best}))]))
        for best in range(4)
    ]
    assert sum(odds) / 4 == pytest.approx(1)
    ranked = [
        math.exp(log_odds_against_chance(utilities, [Choice(order)])) for order in itertools.permutations(range(4))
    ]
    assert sum(ranked) / len(ranked) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["best", "rank"])
def test_the_best_so_far_is_in_every_task(mode):
    names = [f"{number:064x}" for number in range(20)]
    best, other = 18, 19
    tasks = Human(mode=mode)._tasks(names[:18], [names[best], names[other]])
    assert all(shown.count(names[best]) == 1 and len(shown) == 4 for _, shown in tasks)
    assert set().union(*(shown for _, shown in tasks)) == set(names)
    assert len({shown.index(names[best]) for _, shown in tasks}) > 1  # not always in the same place
    ((_, alone),) = Human(mode=mode)._tasks(names[:1], [names[best]])
    assert set(alone) == {names[0], names[best]}


@pytest.mark.slow
def test_a_run_is_resumed_to_the_same_end(tmp_path):
    whole = run(Clicks(brightest), tmp_path / "whole")
    run(Clicks(brightest), tmp_path / "parts", queries=24)
    reward = Human(patience=0, repeats=0, duel=0)
    reward.show = Clicks(brightest)
    parts = zo_dno.resume(tmp_path / "parts", queries=32, generator=ToyGenerator(), reward=reward)
    assert [row.value for row in parts.history] == [row.value for row in whole.history]
    assert (parts.evidence, parts.choices, parts.best.id) == (whole.evidence, whole.choices, whole.best.id)
    loaded = zo_dno.load(tmp_path / "whole")
    assert (loaded.evidence, loaded.choices, loaded.best.reward) == (whole.evidence, whole.choices, whole.best.reward)


def test_a_lucky_click_does_not_win_and_two_do():
    """Over an image that was chosen ten times."""
    champion = [Choice((0,), (other, other + 1, other + 2)) for other in range(1, 31, 3)]
    lucky = [*champion, Choice((36,), (0, 37, 38))]
    proven = [*lucky, Choice((36,), (0, 39, 40))]
    for first in (0, 1):
        found = [fitted(choices, first) for choices in (lucky, proven)]
        assert found[0][36].value < found[0][0].value
        assert found[1][36].value > found[1][0].value
        assert found[0][first].value == 0
    assert set(fitted(lucky, 99)) == {*range(31), 36, 37, 38}


@pytest.mark.parametrize("strategy", ["snes", "hill_climb"])
def test_the_favourite_wins_with_any_strategy(strategy, tmp_path):
    """Also where the last choices are about a part of a population."""
    clicks = Clicks(brightest)
    options = {"queries": 30, "strategy_options": {"population": 8}}
    result = run(clicks, tmp_path / "run", strategy, **options)
    assert result.choices == len(clicks.tasks)
    assert result.evidence is None
    brightness = sorted(float(np.asarray(one.image).mean()) for one in result.improvements)
    assert float(result.best.image.mean()) >= brightness[-1] - 5
    assert result.best.n_scores > 0


def test_ratings_are_no_choices():
    reward = Human(mode="rate", patience=0, repeats=0, duel=0)
    reward.show = lambda store: _rated(store)
    result = zo_dno.optimize(ToyGenerator(), reward, "snes", queries=16, threads=1)
    assert result.choices == 0
    assert result.baseline is not None


def test_choices_are_among_numbered_images_alone():
    order = Order(("a", "b", "c", "a", "d"), ("b", "d"))
    assert Choice.of(order, {"a": 4, "b": 2, "c": 7, "d": 9}) == Choice((2, 9), (4, 7))
    assert Choice.of(order, {"a": 4, "d": 9}) == Choice((9,), (4,))
    assert Choice((2, 9), (4, 7)).renumbered({9: 0, 7: 1}) == Choice((0,), (1,))


def test_damaged_choices_are_one_clear_line(tmp_path):
    run(Clicks(brightest), tmp_path / "run", strategy="snes", strategy_options={"population": 8}, queries=16)
    ledger = Ledger(tmp_path / "run" / "ledger.db")
    assert len(ledger.choices("search", 0)) == 2
    assert ledger.choices("search", 9) is None
    assert ledger.choices("baseline", 0) is None
    liked = Choice((1, 2), (0,), level=True)
    ledger.put_choices("search", 0, [liked])
    assert ledger.choices("search", 0) == [liked]
    for damage in (
        [[1]],
        [[[], [0], []]],
        [[[1], [0], [2]]],
        [[["a"], []]],
        5,
        [[1, 2]],
        [[[1, 1], []]],
        [[[], []]],
        [[[True], [0]]],
        [[[1], [9**9]]],
    ):
        ledger.set({"choices of population 0 of search": damage})
        with pytest.raises(InputError, match="choices are no lists of ids"):
            ledger.choices("search", 0)
