"""Runs of combinations: money, resuming, asynchronous terms."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import yaml

import zo_dno
from tests.support.combinations import (
    CHEAP,
    EXPENSIVE,
    Slow,
    attempt,
    both,
    bright,
    expensive,
    optimize,
    priced,
    red,
    resume,
    rough,
    rows_of,
)
from tests.support.resuming import Crash, content, crashing
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.overview import overview
from zo_dno.rewards.combinations import Constrained, Min, Product, WeightedSum
from zo_dno.run.make_reward import make_reward
from zo_dno.search.recorder import Recorder
from zo_dno.storage.ledger import WARM_UP, Ledger


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Everything that an expensive run of 24 queries keeps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    optimize(expensive(), out=folder, queries=24)
    return content(folder)


class TestMoney:
    def test_is_counted_once(self, tmp_path):
        result = optimize(expensive(), out=tmp_path / "run", queries=8, baseline=4)
        queries = 4 + 8 + 4
        assert result.cost == pytest.approx(queries * (CHEAP + EXPENSIVE))
        every = Ledger(tmp_path / "run" / "ledger.db", read_only=True).all_queries()
        assert sum(row.cost for row in every) == pytest.approx(result.cost)
        assert all(row.cost == row.tokens == row.attempts == 0 for row in every if not row.of_term)
        seen = overview(tmp_path / "run")
        assert seen.cost == pytest.approx(result.cost)
        assert seen.attempts == 2 * queries
        assert seen.counts["search: rough"]["scored"] == 8
        assert resume(tmp_path / "run", expensive()).cost == pytest.approx(result.cost)

    @pytest.mark.parametrize("cap", [0.03, 0.3])
    def test_never_exceeds_the_cap_and_a_higher_cap_resumes_the_run(self, tmp_path, whole, cap):
        logs = [], []
        result, message = attempt(expensive(logs), out=tmp_path / "run", queries=24, max_cost=cap)
        assert "max_cost" in message if result is None else result.stopped_by == "cost"
        spent = CHEAP * len(logs[0]) + EXPENSIVE * len(logs[1])
        assert spent <= cap + 1e-9
        assert overview(tmp_path / "run").cost == pytest.approx(spent)
        result = resume(tmp_path / "run", expensive(logs), max_cost=100)
        assert [len(log) for log in logs] == [28, 28]
        assert result.cost == pytest.approx(28 * (CHEAP + EXPENSIVE))
        assert content(tmp_path / "run") == whole

    def test_the_expensive_term_is_skipped_if_the_cheap_one_is_missing(self):
        def sometimes(images, prompts):
            return [math.nan if value < 100 else value for value in bright(images, prompts)]

        log = []
        reward = WeightedSum([priced(rough, EXPENSIVE, log), priced(sometimes, CHEAP)], standardise=False)
        result = optimize(reward, "random_search")
        assert 0 < result.failed_queries < 32
        assert len(log) == 32 - result.failed_queries
        assert result.failures == {"sometimes: the reward returned NaN": result.failed_queries}

    def test_a_price_belongs_to_the_one_term_with_a_weight(self):
        options = {"policy": {"price": 0.5, "attempts": 1}, "queries": 8}
        assert optimize(Constrained(bright, parts=[red], require="red >= 1", warm_up=2), **options).cost == 5
        with pytest.raises(
            InputError, match=r"price must be given to one term; got it for bright, rough. Such as parts="
        ):
            optimize(both(), **options)
        parts = {"bright": {"reward": bright, "policy": {"price": 0.25}}, "rough": {"reward": rough}}
        assert optimize(Product(parts), queries=8, policy={"attempts": 1}).cost == 2

    def test_equal_images_are_paid_for_once(self):
        logs = [], []
        reward = expensive(logs, scales={"bright": [0, 1], "rough": [0, 1]})
        generator = zo_dno.FunctionGenerator(lambda z: ToyGenerator()(z * 0), (3, 4, 4))
        result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 8})
        assert [len(log) for log in logs] == [1, 1]
        assert result.cached_queries == 15


class TestResuming:
    @pytest.mark.parametrize(("at", "after"), [(3, True), (14, False), (110, False)])
    def test_an_expensive_run_that_was_killed(self, tmp_path, monkeypatch, whole, at, after):
        logs = [], []
        with crashing(monkeypatch, at, after), pytest.raises(Crash):
            optimize(expensive(logs), out=tmp_path / "run", queries=24)
        resume(tmp_path / "run", expensive(logs))
        assert content(tmp_path / "run") == whole
        repeated = [sum(count - 1 for count in Counter(log).values()) for log in logs]
        assert sum(repeated) <= 1 - after  # at most the response that was not written yet

    def test_an_expensive_run_that_was_killed_at_the_end_of_its_warm_up(self, tmp_path, monkeypatch, whole):
        """Its answers are recorded then, so that it is not made again: nothing may be left for it to write."""
        end = Recorder.end

        def dies(recorder):
            if recorder.stage == WARM_UP:
                raise Crash
            end(recorder)

        with monkeypatch.context() as patch:
            patch.setattr(Recorder, "end", dies)
            with pytest.raises(Crash):
                optimize(expensive(([], [])), out=tmp_path / "run", queries=24)
        resume(tmp_path / "run", expensive(([], [])))
        assert content(tmp_path / "run") == whole

    def test_a_free_run_that_was_killed(self, tmp_path, monkeypatch):
        def reward():
            return WeightedSum([bright, rough], warm_up=4, require="darkness >= 0.4")

        optimize(reward(), out=tmp_path / "whole", queries=24)
        with crashing(monkeypatch, 30, after=True), pytest.raises(Crash):
            optimize(reward(), out=tmp_path / "parts", queries=24)
        resume(tmp_path / "parts", reward())
        assert content(tmp_path / "parts") == content(tmp_path / "whole")

    @pytest.mark.parametrize(("term", "at"), [(0, 3), (1, 3), (1, 9)])
    def test_ctrl_c(self, tmp_path, whole, term, at):
        logs, stops = ([], []), [None, None]
        stops[term] = at, KeyboardInterrupt()
        result, message = attempt(expensive(logs, stops), out=tmp_path / "run", queries=24)
        if result is None:
            assert ("in the warm-up" if at < 5 else "before its first query was completed") in message
        else:
            assert (result.status, result.queries) == ("interrupted", at - 5)
        resume(tmp_path / "run", expensive(logs))
        assert content(tmp_path / "run") == whole

    @pytest.mark.parametrize("ready", [1, 13])
    def test_a_term_that_fails_pauses_the_run_and_its_failures_do_not_count(self, tmp_path, whole, ready):
        def dies(images, prompts):
            if len(log) > ready:
                raise PermissionError("bad key")
            return rough(images, prompts)

        log, dies.__name__ = [], "rough"
        reward = WeightedSum([priced(bright, CHEAP), priced(dies, EXPENSIVE, log)], warm_up=4)
        result, message = attempt(reward, out=tmp_path / "run", queries=24, policy={"breaker": 3})
        message_or_pause = message if result is None else result.pause
        assert "the last 3 queries to rough all failed, at last with: PermissionError: bad key" in message_or_pause
        assert result is None or (result.status, result.failed_queries) == ("paused", 0)
        assert len(log) == ready + 3
        resume(tmp_path / "run", expensive(([], log)))
        assert len(log) == 28 + 3
        found = content(tmp_path / "run")
        assert [replace(row, failures="") for row in found[1]] == whole[1]
        assert (found[0], found[2:]) == (whole[0], whole[2:])

    def test_by_name_alone(self, tmp_path):
        options = {"reward_options": {"parts": {"brightness": 1, "small": {"reward": "jpeg_smaller", "weight": 0.5}}}}
        optimize("weighted_sum", out=tmp_path / "parts", queries=16, **options)
        resume(tmp_path / "parts", queries=24)
        optimize("weighted_sum", out=tmp_path / "whole", queries=24, horizon=16, **options)
        assert content(tmp_path / "parts") == content(tmp_path / "whole")
        kept = yaml.safe_load((tmp_path / "parts" / "config.yaml").read_text())["reward_options"]
        assert kept["parts"] == {"brightness": 1, "small": {"reward": "jpeg_smaller", "weight": 0.5}}

    def test_another_weight_or_threshold_is_refused(self, tmp_path):
        optimize(both(), out=tmp_path / "run")
        with pytest.raises(InputError, match="cannot be resumed as it began.*reward parts"):
            resume(tmp_path / "run", WeightedSum([bright, rough]), queries=48)
        with pytest.raises(InputError, match="cannot be resumed as it began.*rough <= 110"):
            resume(tmp_path / "run", both(require=["rough <= 110"]), queries=48)

    def test_terms_share_a_cache_with_other_runs(self, tmp_path):
        cache, log = tmp_path / "scores.db", []
        optimize(priced(bright, CHEAP, log), "random_search", cache=cache, strategy_options={})
        optimize(
            Constrained(priced(bright, CHEAP, log), parts=[red], require="red >= 1"),
            *("random_search",),
            cache=cache,
            strategy_options={},
        )
        assert len(log) == 32 + 16  # the second run pays for its warm-up only


def test_asynchronous_terms_have_several_calls_in_flight(tmp_path):
    result = optimize(Min([Slow(), rough], standardise=False), out=tmp_path / "run")
    for row in result.history:
        assert row.value == min(row.components["slow"], row.components["rough"])
    slow = [row for row in rows_of(tmp_path / "run", "search.part") if row.oracle == "slow"]
    assert [row.value for row in slow] == [row.components["slow"] for row in result.history]
    assert all((row.components, row.spread) == ({"own": 1.0}, 0.5) for row in slow)
    with pytest.raises(InputError, match="parts must be synchronous outside of a run; got 'slow', which is async"):
        make_reward(Min([Slow(), rough], standardise=False))([result.best_image], [""])
