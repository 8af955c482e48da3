"""The re-evaluation of a run that is resumed: what was asked is not asked again, and what it cost is not forgotten."""

import hashlib
from contextlib import closing
from types import SimpleNamespace

import pytest

import zo_dno
from tests.support.resuming import PAID, brightness
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.run.reevaluate import reevaluate
from zo_dno.storage.ledger import REPEAT, Ledger

OPTIONS = {"queries": 48, "repeats": 12, "threads": 1, "seed": 3, "strategy_options": {"population": 6}}


class Noisy(zo_dno.Reward):
    """Brightness with noise; some images have no score when they are shown again, and calls fail while it is down."""

    name, unit, noisy, version = "noisy", "grey levels", True, "1"
    policy = CallPolicy(price=0.01, attempts=1)

    def __init__(self, shown, missing=lambda number: False, down=()):
        self.shown, self.missing, self.down, self.calls = shown, missing, down, 0

    @property
    def settings(self):
        return {}

    def __call__(self, images, prompts):
        self.calls += 1
        (image,) = images
        key = hashlib.sha256(image.tobytes()).hexdigest()
        self.shown[key] = self.shown.get(key, 0) + 1
        if self.shown[key] in self.down:
            raise ConnectionError("no route to the judge")
        if self.shown[key] > 1 and self.missing(int(key[:6], 16)):
            raise ValueError("no opinion")
        noise = hashlib.sha256(f"{key} {self.shown[key]}".encode()).digest()[0] / 25
        return [brightness(images, prompts)[0] + noise]


def test_a_finished_run_with_a_missing_repeat_asks_nothing(tmp_path):
    shown = {}
    first = Noisy(shown, missing=lambda number: number % 3 == 0)
    whole = zo_dno.optimize(ToyGenerator(), first, "snes", out=tmp_path / "run", **OPTIONS)
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries(REPEAT)
    assert "missing" in {row.status for row in rows}
    again = Noisy(shown)
    result = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=again)
    assert again.calls == 0
    assert (result.best.id, result.best.reward, result.cost) == (whole.best.id, whole.best.reward, whole.cost)


def test_calls_that_failed_before_a_pause_stay_in_the_cost(tmp_path):
    shown = {}
    down = Noisy(shown, down=(2, 3))
    paused = zo_dno.optimize(
        ToyGenerator(), down, "snes", out=tmp_path / "run", policy={**PAID, "breaker": 2}, **OPTIONS
    )
    assert paused.status == "paused"
    up = Noisy(shown, down=(3,))
    result = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=up)
    assert result.cost == pytest.approx(0.01 * (down.calls + up.calls))
    assert result.status in ("finished", "paused")
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).all_queries()
    assert sum(row.cost for row in rows) == pytest.approx(result.cost)


def test_ctrl_c_right_after_the_last_query_of_the_search_ends_the_run():
    """Its signal can come between the note of what ended the search and the end of its loop."""
    run = SimpleNamespace(spec=SimpleNamespace(kept_back=12))
    assert reevaluate(run, SimpleNamespace(stopped_by="queries", status="interrupted"), None) is None


def test_queries_kept_for_the_best_are_spent_although_no_noise_is_plausible(tmp_path):
    result = zo_dno.optimize(
        ToyGenerator(), Noisy({}), "snes", out=tmp_path / "run", min_log_prob=-1e-9, policy=PAID, **OPTIONS
    )
    assert result.status == "infeasible"
    assert result.queries == 48
    assert result.stopped_by == "queries"


def test_a_run_that_ended_without_them_before_stays_as_it_ended(tmp_path):
    options = {**OPTIONS, "queries": 36, "repeats": None, "horizon": 48}
    whole = zo_dno.optimize(
        ToyGenerator(), Noisy({}), "snes", out=tmp_path / "run", min_log_prob=-1e-9, policy=PAID, **options
    )
    with closing(Ledger(tmp_path / "run" / "ledger.db")) as ledger:
        ledger.set({"rules": None})
    again = Noisy({})
    zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=again, queries=48, repeats=12)
    assert (whole.queries, again.calls) == (36, 0)


class Ceiling(zo_dno.Reward):
    """Scores on a scale whose end most images have reached."""

    name, unit, noisy, version = "ceiling", "points of 5", True, "1"

    def __call__(self, images, prompts):
        return [5.0 if value > 120 else 1.0 for value in brightness(images, prompts)]


def test_a_scale_whose_end_is_reached_is_not_taken_for_an_exact_reward():
    """The kept queries score the contenders again, and the latest of equals wins, from the most advanced search."""
    result = zo_dno.optimize(ToyGenerator(), Ceiling(), "snes", **OPTIONS)
    top = [row.id for row in result.history if row.value == 5.0]
    assert len(result.history) == 36
    assert len(top) > 6
    assert result.best.id == top[-1]
