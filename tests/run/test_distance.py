"""The distance from liked noise that a rater chooses before the search."""

import json
import math

import pytest
import torch

import zo_dno
from tests.run.test_by_choices import Clicks
from tests.support.resuming import content
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.rewards.human import Human
from zo_dno.run.cancellation import Stop
from zo_dno.run.ladder import DISTANCES
from zo_dno.storage.ledger import Ledger

LIKED = torch.randn(3, 48, generator=torch.Generator().manual_seed(5))
OPTIONS = {"queries": 24, "horizon": 24, "seed": 1, "threads": 1, "near": [*LIKED], "distance": "ask"}


def rater(place, tasks, second=None):
    """Answer each task: a ladder by a row, or by a skip where that is None, and others by their first two images."""

    def answer(store):
        def click(task):
            tasks.append(task)
            if task.mode != "distance":
                return store.rate("ada", task.id, task.shown[:2])
            return store.rate("ada", task.id, "skip" if place is None else task.shown[3 * place])

        return Clicks.over(store, click)

    reward = Human(mode="like", patience=0, repeats=0, duel=0)
    reward.show = answer
    return reward


def run(out, reward, **options):
    given = {**OPTIONS, "strategy_options": {"population": 8}, **options}
    return zo_dno.optimize(ToyGenerator(), reward, "snes", out=out, **given)


def test_the_search_keeps_the_distance_that_was_chosen_also_when_it_is_resumed(tmp_path):
    tasks = []
    whole = run(tmp_path / "whole", rater(2, tasks))
    assert [task.mode for task in tasks[:2]] == ["distance", "like"]
    assert (len(tasks[0].shown), sum(task.mode == "distance" for task in tasks)) == (3 * len(DISTANCES), 1)
    ledger = Ledger(tmp_path / "whole" / "ledger.db", read_only=True)
    assert ledger.get("chosen_distance") == DISTANCES[2] == whole.raters["distance"]
    words = whole.raters["words"][0]
    assert words.startswith("Before the search, distance 0.4 was chosen instead of 0.1, 0.2, 0.7, 1.")
    same = run(tmp_path / "given", rater(0, []), distance=DISTANCES[2])
    assert [row.image for row in same.history] == [row.image for row in whole.history]
    assert [row.value for row in same.history] == [row.value for row in whole.history]
    store = RatingStore(tmp_path / "whole" / RATINGS)
    assert store.first_and_best()[0][0] == whole.history[0].image  # not an image of the ladder
    assert len(store.rounds()[0].images) == 8
    assert all(one.order.level for one in store.ratings())
    # cut off before the choice, between choice and search, and in the search
    stop = Stop()
    reward = rater(None, [])
    reward.show = lambda store: (stop(), lambda: None)[1]
    with pytest.raises(RunError, match="No distance was chosen yet.*zo-dno resume"):
        run(tmp_path / "parts", reward, stop=stop, queries=8)
    tasks.clear()
    zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rater(2, tasks))
    assert [task.mode for task in tasks] == ["distance", "like", "like"]
    file = Ledger(tmp_path / "parts" / "ledger.db")
    file.set({"chosen_distance": None})  # as if killed before the fact was written
    file.close()
    tasks.clear()
    again = zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rater(0, tasks), queries=24)
    assert {task.mode for task in tasks} == {"like"}
    assert [row.image for row in again.history] == [row.image for row in whole.history]
    assert content(tmp_path / "parts")[1] == content(tmp_path / "whole")[1]


def test_who_skips_the_choice_gets_the_usual_distance_and_nothing_is_said_of_it(tmp_path):
    result = run(tmp_path / "run", rater(None, []), queries=8)
    assert "raters" not in json.loads((tmp_path / "run" / "result.json").read_text())
    assert [row.image for row in result.history] == [
        row.image for row in run(None, rater(1, []), queries=8, distance=0.3).history
    ]
    assert "distance" not in " ".join(result.raters.get("words", ()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": []}, "distance must come with near, the liked noise; got ask alone"),
        ({"reward": "brightness"}, "distance must be a number from 0 to 1 with brightness, which has no raters to ask"),
        ({"distance": "far"}, "distance must be a number or 'ask'; got 'far'"),
        ({"distance": 1.5}, "distance must be at most 1 or 'ask'; got 1.5"),
        ({"distance": math.nan}, "distance must be"),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_nothing_is_written(tmp_path, options, message):
    options = dict(options)
    with pytest.raises(InputError, match=message) as found:
        run(tmp_path / "run", options.pop("reward", Human()), **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()
