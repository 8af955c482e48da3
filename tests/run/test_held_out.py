"""Held-out rewards score what a run ends with, once."""

import threading

import pytest

import zo_dno
from tests.support.resuming import PAID, brightness, content, resume, run, settled, stops
from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure


class HeldOut(zo_dno.Reward):
    """Brightness, with no score for some images; notes its calls."""

    name, unit, version = "held_out", "grey levels", "1"
    policy = CallPolicy(price=0.01, attempts=1)

    def __init__(self, *, scores=True, at_call=None):
        self.scores, self.at_call, self.calls = scores, at_call, 0

    @property
    def settings(self):
        return {}

    def __call__(self, images, prompts):
        self.calls += 1
        if self.at_call is not None:
            self.at_call()
        if not self.scores:
            raise ValueError("no opinion")
        return brightness(images, prompts)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ConnectionError("no route to the judge")], ids=["interrupted", "paused"]
)
def test_a_run_that_is_not_over_asks_none(tmp_path, error):
    policy = {**PAID, "breaker": 3}
    run(tmp_path / "whole", settled, held_out=[HeldOut()], policy=policy)
    early = HeldOut()
    result = run(tmp_path / "parts", stops(20, error, after=True), held_out=[early], policy=policy)
    assert result.status in ("interrupted", "paused")
    assert early.calls == 0
    late = HeldOut()
    resume(tmp_path / "parts", settled, held_out=[late])
    assert late.calls == 2
    whole, parts = content(tmp_path / "whole"), content(tmp_path / "parts")
    assert parts[0] == whole[0]
    assert parts[3:] == whole[3:]
    assert [row for row in parts[1] if row.stage == "held_out"] == [row for row in whole[1] if row.stage == "held_out"]


def test_a_missing_score_is_final(tmp_path):
    first = run(tmp_path / "run", settled, held_out=[HeldOut(scores=False)])
    again = HeldOut()
    result = resume(tmp_path / "run", settled, held_out=[again])
    assert again.calls == 0
    assert result.held_out == first.held_out == {"held_out": (None, None)}
    assert result.cost == first.cost == pytest.approx(0.02)


def test_a_server_that_asks_to_wait_long_pauses_the_run(tmp_path):
    def busy():
        raise CallError(Failure("HTTP 429", "busy", transient=True, billed=False, retry_after=10_000))

    held_out = HeldOut(at_call=busy)
    paused = run(tmp_path / "run", settled, held_out=[held_out])
    assert paused.status == "paused"
    assert "the server asks to wait 10000 s" in paused.pause
    rest = HeldOut()
    result = resume(tmp_path / "run", settled, held_out=[rest])
    assert (result.status, rest.calls) == ("finished", 2)
    assert None not in result.held_out["held_out"]


def test_a_stop_from_another_thread_ends_it_after_the_call_in_flight(tmp_path):
    stop = zo_dno.Stop()

    def from_another_thread():
        other = threading.Thread(target=stop)
        other.start()
        other.join()

    held_out = HeldOut(at_call=from_another_thread)
    result = run(tmp_path / "run", settled, held_out=[held_out], stop=stop)
    assert held_out.calls == 1
    assert result.status == "interrupted"
    rest = HeldOut()
    assert resume(tmp_path / "run", settled, held_out=[rest]).status == "finished"
    assert rest.calls == 1
