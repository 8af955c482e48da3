"""A run in a thread is stopped from another one."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.oracles import Waiting
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.rewards.human import Human
from zo_dno.search.loop import Search
from zo_dno.storage.ledger import Ledger


def in_thread(**options):
    found = []
    thread = threading.Thread(target=lambda: found.append(zo_dno.optimize(**options)))
    thread.start()
    return thread, found


@pytest.mark.parametrize("waits", [True, False])
def test_what_is_under_way_is_waited_for(toy, waits, tmp_path):
    stop, reward, stepped = zo_dno.Stop(), Waiting(), threading.Event()
    options = {"queries": 1_000_000, "stop": stop, "strategy_options": {"population": 8}, "out": tmp_path / "run"}
    reward = reward if waits else "jpeg_smaller"
    thread, found = in_thread(generator=toy, reward=reward, on_step=lambda _: stepped.set(), **options)
    assert stepped.wait(PATIENCE)
    stop()
    thread.join(PATIENCE)
    assert found[0].status == "interrupted"
    assert all(row.completed for row in found[0].history)


def test_the_second_stop_does_not_wait(toy):
    stop = zo_dno.Stop()
    reward = Waiting(until=lambda: False)
    error = []

    def run():
        with pytest.raises(zo_dno.RunError, match="ended before its first query was completed") as raised:
            zo_dno.optimize(toy, reward, queries=16, stop=stop)
        error.append(raised.value)

    thread = threading.Thread(target=run)
    thread.start()
    while not reward.started:
        time.sleep(0.01)
    stop()
    thread.join(0.3)
    assert thread.is_alive()
    stop()
    thread.join(PATIENCE)
    assert error


def test_a_run_that_is_stopped_before_it_begins_asks_nothing(toy):
    stop = zo_dno.Stop()
    stop()
    with pytest.raises(zo_dno.RunError, match="ended before its first query was completed"):
        zo_dno.optimize(toy, "jpeg_smaller", queries=16, stop=stop)


def test_a_stop_keeps_no_run_alive_that_has_ended(toy):
    stop = zo_dno.Stop()
    for repeats in (0, 8):  # with a baseline, there are two searches a run
        zo_dno.optimize(toy, "jpeg_smaller", queries=16, baseline=8, repeats=repeats, stop=stop)
    gc.collect()
    assert [one for one in gc.get_objects() if type(one) is Search and one.generator is toy] == []


def test_one_ctrl_c_does_not_wait_for_people(toy, tmp_path, monkeypatch):
    post, looks = RatingStore.post, []

    def pressing(*given, **options):
        number = post(*given, **options)
        os.kill(os.getpid(), signal.SIGINT)
        return number

    def not_rated(*_):
        looks.append(1)
        assert len(looks) < 500, "people are waited for"

    monkeypatch.setattr(RatingStore, "post", pressing)
    monkeypatch.setattr(RatingStore, "take", not_rated)
    with pytest.raises(zo_dno.RunError, match="ended before its first query was completed"):
        zo_dno.optimize(toy, Human(serve=False), "snes", queries=8, out=tmp_path / "run")
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
    assert {row.status for row in rows} == {"asked"}


@pytest.mark.slow
def test_one_ctrl_c_ends_a_run_that_waits_for_people(tmp_path):
    """Their answers are kept, so there is nothing to wait for; the questions that were open are asked again."""
    script = (
        "import sys, zo_dno; from tests.support.toys import ToyGenerator; from zo_dno.rewards.human import Human\n"
        "zo_dno.optimize(ToyGenerator(), Human(serve=False), 'snes', queries=8, out=sys.argv[1])"
    )
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stderr=subprocess.PIPE, text=True) as process:
        while not (folder / RATINGS).exists() or not Ledger(folder / "ledger.db", read_only=True).queries():
            time.sleep(0.05)
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        try:
            error = process.communicate(timeout=PATIENCE)[1]
        finally:
            process.kill()
    assert "The run ended before its first query was completed" in error
    rows = Ledger(folder / "ledger.db", read_only=True).queries()
    assert {row.status for row in rows} == {"asked"}
