import math
import sqlite3

import pytest

from tests.support.oracles import Flaky, queries, value
from zo_dno.errors import InputError, StorageError
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle
from zo_dno.types import Score


def test_runs_share_a_file(tmp_path):
    class Settled(FunctionReward):
        quality = 1

        @property
        def settings(self):
            return {"quality": self.quality}

    def oracle(quality=1):
        seen.clear()
        reward = Settled(counted)
        reward.quality = quality
        return Oracle(reward, cache=Cache(tmp_path / "scores.db"))

    seen = []

    def counted(images, prompts):
        seen.extend(value(images, prompts))
        return value(images, prompts)

    oracle().ask(queries([1, 2, 3]))
    responses = oracle().ask(queries([2, 4]))
    assert seen == [4]
    assert [response.cached for response in responses] == [True, False]
    oracle(5).ask(queries([2]))  # other settings decide other scores
    assert seen == [2]


def test_details_of_a_score_are_cached(tmp_path):
    returned = Score(
        2.0, components={"sharp": 3, "clear": 0.5, "pretty": math.nan}, spread=0.0, reward_violation=1.5, tokens=7
    )

    def oracle():
        return Oracle(FunctionReward(lambda images: [returned], "judge"), cache=Cache(tmp_path / "scores.db"))

    first = oracle()
    responses = [first.ask(queries([1]))[0], first.ask(queries([1]))[0], oracle().ask(queries([1]))[0]]
    assert [(response.cached, response.score.tokens) for response in responses] == [(False, 7), (True, 0), (True, 0)]
    for score in (response.score for response in responses):
        assert (score.value, score.components) == (2.0, {"sharp": 3, "clear": 0.5})
        assert (score.spread, score.reward_violation) == (0, 1.5)


def test_missing_scores_are_not_cached(tmp_path):
    flaky = Flaky({1: 1}, ValueError("no"))
    oracle = Oracle(FunctionReward(flaky), cache=Cache(tmp_path / "scores.db"))
    assert oracle.ask(queries([1]))[0].score.missing
    assert oracle.ask(queries([1]))[0].score.value == 1


@pytest.mark.parametrize("size", [1, 3200])
def test_a_file_that_is_no_cache_is_refused_and_kept(tmp_path, size):
    notes = ("these are my notes, and no cache" * 100)[:size]
    (tmp_path / "notes.txt").write_text(notes)
    with pytest.raises(InputError, match="cache must be a writable file of scores; .*notes.txt: it is another file."):
        Cache(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == notes
    (tmp_path / "notes.txt").write_text("")
    Cache(tmp_path / "notes.txt").close()


@pytest.mark.parametrize("detail", ["{", "[" * 90_000, "[1]", '{"nonsense": 1}'])
def test_a_damaged_row_names_the_file_in_one_line(tmp_path, detail):
    cache = Cache(tmp_path / "scores.db")
    cache.remember([("key", Score(1.0, spread=2.0))])
    cache.close()
    with sqlite3.connect(tmp_path / "scores.db") as file:
        file.execute("UPDATE detail SET json = ?", (detail,))
    with pytest.raises(StorageError, match=r"^cache .*scores\.db could not be used: .*$"):
        Cache(tmp_path / "scores.db").find("key")


def test_a_file_that_fails_later_is_named_in_one_line(tmp_path):
    cache = Cache(tmp_path / "scores.db")
    with sqlite3.connect(tmp_path / "scores.db") as file:
        file.execute("DROP TABLE answer")
    for use in (lambda: cache.find("key"), lambda: cache.remember([("key", Score(1.0))])):
        with pytest.raises(StorageError, match=r"^cache .*scores\.db could not be used: no such table: answer\. .*$"):
            use()
