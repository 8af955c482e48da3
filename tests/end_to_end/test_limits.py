"""A run ends at its limits of cost, denoiser calls and time, and goes on when they are raised."""

import json
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

import zo_dno
from tests.support.resuming import PAID, brightness, content, resume, run
from zo_dno.errors import InputError, RunError
from zo_dno.rewards.combinations import WeightedSum
from zo_dno.search import stopwatch
from zo_dno.storage.ledger import Ledger


def test_the_cap_ends_a_run_and_a_higher_one_goes_on(tmp_path):
    run(tmp_path / "whole", policy=PAID)
    result = run(tmp_path / "parts", policy=PAID, max_cost=0.205)
    assert (result.queries, result.stopped_by) == (20, "cost")
    assert result.cost == pytest.approx(0.2)
    result = resume(tmp_path / "parts", max_cost=1.0)
    assert result.cost == pytest.approx(0.48)
    assert result.stopped_by == "queries"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_what_a_kill_may_have_cost_is_said(tmp_path, caplog):
    """Four calls are in flight when the run is killed; at the cap it says why nothing more is sent."""
    run(tmp_path / "run", policy=PAID, max_cost=0.205)
    with closing(Ledger(tmp_path / "run" / "ledger.db")) as ledger:
        rows = [row for row in ledger.queries() if row.id >= 16]
        ledger.put([replace(row, status="asked", value=None, cost=0.0, attempts=0) for row in rows])
    result = resume(tmp_path / "run")
    said = "4 calls were in flight when the run was killed; what they cost is unknown, so 0.04, all of their attempts"
    assert said in caplog.text
    assert (result.queries, result.stopped_by, result.cost) == (16, "cost", pytest.approx(0.2))
    assert result.spent.startswith(f"0.2 of max_cost 0.205 are spent ({said}, count as spent), and one query can cost")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["spent"] == result.spent
    caplog.clear()
    result = resume(tmp_path / "run", max_cost=1.0)
    assert (result.queries, result.spent, caplog.text) == (48, None, "")
    assert result.cost == pytest.approx(0.48 + 0.04)


def test_a_cap_below_one_query_asks_nothing(tmp_path):
    with pytest.raises(
        RunError, match=r"No query was sent: 0 of max_cost 0\.01 are spent, and one query can cost 0\.05"
    ):
        run(tmp_path / "run", policy={"price": 0.01, "attempts": 5}, max_cost=0.01)


def test_a_cap_without_a_price_is_refused(tmp_path):
    with pytest.raises(InputError, match="max_cost must come with a price; 'brightness' has none"):
        run(tmp_path / "run", max_cost=1.0)


def test_denoiser_calls_end_a_run(tmp_path):
    result = run(tmp_path / "run", nfe=41)
    assert (result.queries, result.nfe, result.stopped_by) == (20, 40, "nfe")
    assert resume(tmp_path / "run", nfe=96).queries == 48


def test_seconds_are_those_of_all_sessions(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(images, prompts):
        now[0] += 0.02
        return brightness(images, prompts)

    first = run(tmp_path / "run", slow, queries=1000, seconds=0.5)
    assert first.stopped_by == "seconds"
    again = resume(tmp_path / "run", slow)
    assert again.queries == first.queries
    assert resume(tmp_path / "run", slow, seconds=1.0).queries > first.queries


def test_time_may_end_at_any_moment(tmp_path, monkeypatch):
    """Every look at the clock takes a second here, so that the limit is reached between any two of them in turn."""
    now = count()
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: float(next(now))))
    ends = []
    for seconds in range(5, 60, 5):
        with suppress(RunError):  # before the first score
            result = run(None, seconds=float(seconds), queries=200, policy={"price": 0.01})
            assert result.stopped_by == "seconds"
            ends.append(result.queries)
    assert len(ends) > 4


@pytest.mark.parametrize("terms", [1, 2])
def test_a_cap_names_what_a_query_can_cost_by_what_was_charged(toy, terms):
    def charges(images, prompts):
        return [zo_dno.Score(float(np.asarray(image).mean()), cost=5.0) for image in images]

    policy = zo_dno.CallPolicy(price=0.01, attempts=2)
    vars(charges).update(version="1", policy=policy)
    several = WeightedSum(["contrast", charges], standardise=False)
    result = zo_dno.optimize(toy, charges if terms == 1 else several, "snes", queries=32, budget={"max_cost": 1})
    assert result.stopped_by == "cost"
    assert result.spent.startswith(f"{result.cost:.4g} of max_cost 1 are spent, and one query can cost 10 with all its")
