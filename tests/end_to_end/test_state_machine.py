"""Any sequence of answers, failures, deadlines, Ctrl-C, kills and resumptions, drawn by Hypothesis."""

import hashlib
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import zo_dno
from tests.support import fake_ray
from tests.support.clocks import PATIENCE, Clock
from tests.support.dying import KilledError, going_wrong
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.distributed import actor_pool
from zo_dno.errors import RunError, StorageError
from zo_dno.storage.ledger import Ledger

PRICE, QUERIES, ATTEMPTS, TIMEOUT = 0.01, 12, 4, 300.0


class Judge:
    """A server that charges for every call that reaches it, whatever becomes of the answer.

    Attributes:
        charged: calls so far by image.
        script: what happens to the next calls: "fail", "hang" until the timeout, or "press", which presses Ctrl-C.
        over: set once nothing needs to hang any more.
    """

    def __init__(self, clock):
        self.charged, self.script, self.over, self.clock = Counter(), [], threading.Event(), clock
        self._lock = threading.Lock()

    def answer(self, image):
        name = hashlib.sha256(image.tobytes()).hexdigest()
        with self._lock:
            self.charged[name] += 1
            event = self.script.pop(0) if self.script else None
        if event == "fail":
            raise ConnectionResetError("try again")
        if event == "hang":
            self.clock.advance(TIMEOUT)  # also for the other calls in flight: each then fails once
            self.over.wait(PATIENCE)
        if event == "press":
            os.kill(os.getpid(), signal.SIGINT)
        number = int(name[:8], 16)
        return zo_dno.Score(float("nan"), error="no opinion") if number % 7 == 0 else number % 1000 / 100


class Paid(zo_dno.Reward):
    name, unit = "paid", "points"
    policy = CallPolicy(price=PRICE, attempts=ATTEMPTS, first_wait=0.0001, breaker=0)

    def __init__(self, judge):
        self._judge = judge

    @property
    def settings(self):
        return {}

    def __call__(self, images, prompts):
        return [self._judge.answer(image) for image in images]


class Runs(RuleBasedStateMachine):
    """One run in its folder, in this process or with some actors, and what its judge counts."""

    clock: Clock

    @initialize(
        strategy=st.sampled_from(["snes", "hill_climb", "zo_sgd", "random_search"]),
        lag=st.sampled_from([0, 0, 1]),
        cap=st.sampled_from([None, None, 20 * PRICE]),
        in_flight=st.integers(1, 3),
        workers=st.integers(0, 2),
    )
    def begin(self, strategy, lag, cap, in_flight, workers):
        self.folder, self.judge = Path(tempfile.mkdtemp(prefix="zo-dno-machine-")), Judge(self.clock)
        self.options = {"strategy": strategy, "lag": lag, "seed": 3, "strategy_options": {"population": 4}}
        self.options |= {"horizon": 3 * QUERIES, "max_cost": cap, "keep_images": 1}
        self.queries, self.in_flight, self.workers, self.lost = QUERIES, in_flight, workers, 0
        self.finished = False

    def teardown(self):
        if not hasattr(self, "folder"):
            return
        try:
            self.session()
            if self.options["max_cost"] is None:
                judge, folder = self.judge, self.folder
                found = told(folder / "run")
                self.judge, self.folder = Judge(self.clock), folder / "whole"
                self.session()
                assert found == told(self.folder / "run")
                self.judge, self.folder = judge, folder
        finally:
            self.judge.over.set()
            shutil.rmtree(self.folder)

    def session(self, at=0, when="never"):
        """Start the run or resume it, perhaps to die at a write; returns its result, if there is one."""
        policy = {"in_flight": self.in_flight, "timeout": TIMEOUT}
        run, reward, result, said = self.folder / "run", Paid(self.judge), None, ""
        try:
            with going_wrong(at, when, files=True):
                if (run / "config.yaml").exists():
                    changes = {"policy": policy, "queries": self.queries, "workers": self.workers}
                    result = zo_dno.resume(run, generator=ToyGenerator(), reward=reward, **changes)
                else:
                    options = {**self.options, "policy": policy, "queries": self.queries, "workers": self.workers}
                    result = zo_dno.optimize(ToyGenerator(), reward, out=run, **options)
        except (KilledError, StorageError):
            self.lost += (max(self.in_flight, self.workers) + self.workers) * ATTEMPTS  # each may have a call waiting
        except RunError as error:
            said = str(error)
        assert not said or not any(row.status == "scored" for row in rows(run)), said  # nothing has a score yet
        self.finished = result is not None and result.status == "finished"
        return result

    @rule(event=st.sampled_from(["fail", "hang"]))
    @precondition(lambda self: len(self.judge.script) < ATTEMPTS - 1)  # so that every call succeeds in the end
    def a_call_will(self, event):
        self.judge.script.append(event)

    @rule(after=st.integers(0, 9))
    def ctrl_c(self, after):
        self.judge.script += [None] * after + ["press"]
        self.session()
        self.judge.script.clear()

    @rule(at=st.integers(1, 60), when=st.sampled_from(["before", "after", "fails"]))
    def a_write_goes_wrong(self, at, when):
        self.session(at, when)
        self.judge.script.clear()

    @rule()
    def go_on(self):
        self.session()

    @rule(more=st.integers(1, QUERIES), in_flight=st.integers(1, 3), workers=st.integers(0, 2))
    @precondition(lambda self: self.queries < 2 * QUERIES)
    def go_on_with_a_larger_budget_and_others_at_work(self, more, in_flight, workers):
        self.queries, self.in_flight, self.workers = self.queries + more, in_flight, workers
        self.session()

    @rule()
    @precondition(lambda self: self.finished)
    def a_finished_run_asks_nothing(self):
        before = self.judge.charged.total()
        self.session()
        assert self.judge.charged.total() == before

    @invariant()
    def nothing_is_told_twice(self):
        if hasattr(self, "folder"):
            order = [row.told_seq for row in rows(self.folder / "run") if row.told_seq is not None]
            assert len(order) == len(set(order))

    @invariant()
    def no_more_is_asked_than_the_budget_says(self):
        if hasattr(self, "folder"):
            assert sum(row.completed for row in rows(self.folder / "run")) <= self.queries

    @invariant()
    def every_charge_is_known_or_was_in_flight_at_a_kill(self):
        if hasattr(self, "folder"):
            known = sum(row.attempts for row in rows(self.folder / "run"))
            assert self.judge.charged.total() <= known + self.lost

    @invariant()
    def no_more_is_charged_than_the_cap(self):
        if hasattr(self, "folder") and self.options["max_cost"] is not None:
            assert self.judge.charged.total() * PRICE <= self.options["max_cost"] + 1e-9


def rows(run):
    return Ledger(run / "ledger.db", read_only=True).queries() if (run / "ledger.db").exists() else []


def told(run):
    """What must not depend on what happened to a run: every answer, and every score that was told, in order."""
    return [replace(row, seconds=0, attempts=0, cost=0, failures="") for row in rows(run)]


FEW = settings(
    max_examples=3, stateful_step_count=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch, clock):
    """Let actors be threads of this process, and timeouts pass when a call hangs."""
    fake_ray.put_in_place(monkeypatch, in_threads=True)
    monkeypatch.setattr(actor_pool, "PATIENCE", 1e9)  # which passes with the same clock
    monkeypatch.setattr(Runs, "clock", clock, raising=False)


def test_a_few_histories():
    run_state_machine_as_test(Runs, settings=FEW)


@pytest.mark.slow
def test_many_histories():
    run_state_machine_as_test(Runs, settings=settings(FEW, max_examples=20, stateful_step_count=8))
