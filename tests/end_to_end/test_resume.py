"""A run that was stopped anywhere ends as one that never was."""

import asyncio
import hashlib
import time
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zo_dno
from benchmarks.kills.cases import STRATEGIES
from tests.support.resuming import PAID, Crash, check_ctrl_c, content, crashing, resume, run, settled, stops
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, RunError
from zo_dno.results.overview import overview
from zo_dno.storage.ledger import Ledger


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.fast_cases(3)
def test_a_larger_budget_goes_on_as_if_it_had_always_been_larger(tmp_path, strategy, policy):
    run(tmp_path / "whole", strategy=strategy, horizon=21, top=3, keep_images=5, policy=policy)
    run(tmp_path / "parts", strategy=strategy, queries=21, top=3, keep_images=5, policy=policy)
    resume(tmp_path / "parts", queries=30)
    resume(tmp_path / "parts", queries=48)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("at", [1, 3, 8, 9, 30, 48])
@pytest.mark.fast_cases(3)
def test_ctrl_c_and_resume(tmp_path, at, policy):
    check_ctrl_c(run, tmp_path, at, gamma=0.5, policy=policy)


@pytest.mark.parametrize("at", [8, 24, 30])
@pytest.mark.fast_cases(2)
def test_ctrl_c_and_resume_with_preselection(tmp_path, at):
    """At the last answer of a population, too, which is then answered but not told."""
    check_ctrl_c(run, tmp_path, at, screen=4, queries=34, policy=PAID)


@pytest.mark.parametrize("policy", [{}, {"price": 0.01}], ids=["free", "paid"])
def test_a_dead_server_pauses_the_run_and_nothing_of_it_counts(tmp_path, policy):
    policy = {"breaker": 3, "attempts": 1, **policy}
    run(tmp_path / "whole", settled, policy=policy)
    dies = stops(20, ConnectionError("no route to the judge"), after=True)
    result = run(tmp_path / "parts", dies, policy=policy)
    assert len(dies.calls) == 22
    assert result.status == "paused"
    assert result.queries == 19
    assert result.failed_queries == 0
    assert "Paused after 19 completed queries: the last 3 queries all failed" in result.pause
    assert f"zo-dno resume {tmp_path / 'parts'}" in result.pause
    assert overview(tmp_path / "parts").state == "paused"
    result = resume(tmp_path / "parts", settled)
    whole, parts = content(tmp_path / "whole"), content(tmp_path / "parts")
    assert [replace(row, failures="") for row in parts[1]] == whole[1]
    assert parts[0] == whole[0]
    assert parts[2:] == whole[2:]


def test_a_run_paused_before_any_score_says_so_and_goes_on(tmp_path):
    dead = stops(1, PermissionError("bad key"), after=True)
    with pytest.raises(RunError, match=r"Paused after 0 completed queries: .*bad key.*zo-dno resume"):
        run(tmp_path / "parts", dead, policy={"breaker": 4, **PAID})
    run(tmp_path / "whole", settled, policy={"breaker": 4, **PAID})
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts")[0] == content(tmp_path / "whole")[0]


class Timed(zo_dno.Reward):
    """Answers what the image decides, in an order that the test decides; some images have no score or fail at first."""

    name, unit, is_async = "timed", "n", True
    policy = CallPolicy(in_flight=4, price=0.01, first_wait=0.0001, attempts=3, breaker=0)

    def __init__(self, delays=(0,)):
        self.delays, self.calls, self.failed = delays, 0, set()

    @property
    def settings(self):
        return {}

    async def __call__(self, images, prompts):
        self.calls += 1
        await asyncio.sleep(0.001 * self.delays[self.calls % len(self.delays)])
        pixels = images[0].tobytes()
        number = hashlib.sha256(pixels).digest()[0]
        if number % 7 == 0:
            raise ValueError("no opinion")
        if number % 5 == 0 and pixels not in self.failed:
            self.failed.add(pixels)
            raise ConnectionResetError("try again")
        return [zo_dno.Score(number / 10)]


@pytest.mark.slow
@given(
    delays=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    crashes=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=3),
    strategy=st.sampled_from(["snes", "hill_climb", "zo_sgd"]),
)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_timing_nor_restarts_change_what_is_told(monkeypatch, tmp_path_factory, delays, crashes, strategy):
    folder = tmp_path_factory.mktemp("runs")
    options = {"strategy": strategy, "queries": 24}
    whole = run(folder / "whole", Timed(), **options)
    for number, (at, after) in enumerate(crashes):
        with crashing(monkeypatch, at, after):
            try:
                if (folder / "parts" / "config.yaml").exists():
                    resume(folder / "parts", Timed(delays))
                else:
                    run(folder / "parts", Timed(delays), **options)
            except Crash:
                continue
        assert number >= 0
    if (folder / "parts" / "config.yaml").exists():
        resume(folder / "parts", Timed(delays))
    else:
        run(folder / "parts", Timed(delays), **options)

    def told(name):
        rows = Ledger(folder / name / "ledger.db", read_only=True).queries()
        return [(row.told_seq, row.id, row.told, row.value, row.kind) for row in rows]

    assert told("parts") == told("whole")
    assert whole.failed_queries > 0
    ours, theirs = content(folder / "parts"), content(folder / "whole")
    assert (ours[0], ours[2:]) == (theirs[0], theirs[2:])


def test_a_finished_run_resumes_to_itself(tmp_path):
    run(tmp_path / "run", baseline="equal", held_out=["darkness"], policy=PAID)
    before = content(tmp_path / "run")
    resume(tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_a_budget_below_what_was_asked_is_refused(tmp_path):
    run(tmp_path / "run", queries=24)
    before = content(tmp_path / "run")
    with pytest.raises(InputError, match="queries must be at least the 24 scored already; got 20"):
        resume(tmp_path / "run", queries=20)
    resume(tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_answers_are_shared_by_runs(tmp_path):
    options = {"cache": tmp_path / "answers.db", "policy": PAID}
    first = run(tmp_path / "one", settled, **options)
    second = run(tmp_path / "two", settled, **options)
    assert (first.cached_queries, first.cost) == (0, pytest.approx(0.48))
    assert (second.queries, second.cached_queries, second.cost) == (48, 48, 0)
    assert second.best.reward == first.best.reward
    assert all(row.cached for row in second.history)


def test_a_clock_that_goes_backwards(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    now = [time.time()]

    def backwards():
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    run(tmp_path / "parts", queries=20, horizon=48)
    resume(tmp_path / "parts", queries=48)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_what_a_config_cannot_name_is_asked_for(tmp_path):
    run(tmp_path / "run", queries=24)
    with pytest.raises(InputError, match="generator must be given: the run's model was a Python object"):
        zo_dno.resume(tmp_path / "run")
