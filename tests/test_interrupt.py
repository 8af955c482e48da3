"""A run in another thread ends as by Ctrl-C, wherever it is; one that waits for people ends at the first."""

import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

import zo_dno
from tests.toys import ToyGenerator
from zo_dno.background import Background
from zo_dno.errors import RunError
from zo_dno.interrupt import Interrupt, on_interrupt
from zo_dno.ledger import Ledger
from zo_dno.ratings import RATINGS
from zo_dno.running import Running


class Unseen:
    """A view that shows nothing, and keeps what it was told."""

    def __init__(self):
        self.box, self.steps, self.ended = None, [], []

    def how_far(self):
        return "4 answers are left"

    def step(self, step):
        self.steps.append(step.queries)

    def end(self, *outcome):
        self.ended.append(outcome)


def running(reward, view=None, **options):
    work = partial(zo_dno.optimize, ToyGenerator(), reward, "random_search", queries=64, **options)
    return Running(lambda on_step: work(on_step=on_step), view or Unseen())


def test_it_is_heard_once_by_whoever_waits_or_else_by_the_first_to_come():
    interrupt, heard = Interrupt(), []
    interrupt.look()
    interrupt.ask()
    interrupt.wake(lambda: heard.append("first"))
    interrupt.wake(lambda: heard.append("second"))
    interrupt.look()
    assert heard == ["first"]
    interrupt.ask()
    assert heard == ["first", "first", "second"]
    interrupt.look()
    lonely = Interrupt()
    lonely.ask()
    with pytest.raises(KeyboardInterrupt):
        lonely.look()
    lonely.look()


def test_outside_of_its_scope_nobody_hears_it():
    interrupt, heard = Interrupt(), []
    with interrupt.scope():
        on_interrupt(lambda: heard.append("inside"))
    on_interrupt(lambda: heard.append("outside"))
    interrupt.ask()
    assert heard == ["inside"]


def test_what_has_finished_is_not_lost_by_an_interrupt():
    async def value(n):
        return n

    interrupt = Interrupt()
    with interrupt.scope():
        background = Background()
    background.start(value(1))
    while background._done.qsize() < 1:
        time.sleep(0.001)
    interrupt.ask()
    with pytest.raises(KeyboardInterrupt):
        background.finished()
    assert background.finished() == [1]
    background.close()


def test_a_reward_of_this_process_ends_after_its_population():
    third, go_on = threading.Event(), threading.Event()
    calls = []

    def reward(images, prompts):
        calls.append(1)
        if len(calls) == 20:
            third.set()
            assert go_on.wait(20)
        return [float(len(calls))]

    view = Unseen()
    run = running(reward, view, strategy_options={"population": 8})
    assert third.wait(20)
    with pytest.raises(RunError, match=r"The run has not ended: 4 answers are left\. Ask again"):
        run.result()
    assert not run.done
    run.stop(timeout=0)
    go_on.set()
    result = run.result(timeout=20)
    assert (result.status, result.queries) == ("interrupted", 24)
    assert view.steps == [8, 16, 24]
    run.stop()
    assert view.ended == [(result, None)]


def test_calls_under_way_are_waited_for_and_a_second_stop_does_not():
    busy, go_on = threading.Event(), threading.Event()

    def reward(images, prompts):
        busy.set()
        assert go_on.wait(20)
        return [1.0]

    run = running(reward, asking={"in_flight": 2})
    assert busy.wait(20)
    run.stop(timeout=0.2)
    assert not run.done
    go_on.set()
    result = run.result(timeout=20)
    assert (result.status, result.queries) == ("interrupted", 2)
    busy.clear()
    go_on.clear()
    run = running(reward, asking={"in_flight": 2})
    assert busy.wait(20)
    run.stop(timeout=0.2)
    run.stop()
    with pytest.raises(RunError, match="The run ended before its first query was answered"):
        run.result()
    go_on.set()


def test_what_the_search_raises_is_raised_by_its_result():
    def drawn(z):
        raise MemoryError("no room")

    generator, view = zo_dno.FunctionGenerator(drawn, (48,)), Unseen()
    run = Running(lambda on_step: zo_dno.optimize(generator, "brightness", queries=4, on_step=on_step), view)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            run.result(timeout=20)
    run.stop()
    assert run.failed
    assert isinstance(view.ended[0][1], MemoryError)


def test_one_ctrl_c_ends_a_run_that_waits_for_people(tmp_path):
    """Their answers are kept, so there is nothing to wait for; the questions that were open are asked again."""
    script = (
        "import sys, zo_dno; from tests.toys import ToyGenerator; from zo_dno.rewards.human import Human\n"
        "zo_dno.optimize(ToyGenerator(), Human(serve=False), 'snes', queries=8, out=sys.argv[1])"
    )
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stderr=subprocess.PIPE, text=True) as process:
        while not (folder / RATINGS).exists() or not Ledger(folder / "ledger.db", read_only=True).queries():
            time.sleep(0.05)
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=20)[1]
    assert "The run ended before its first query was answered" in error
    rows = Ledger(folder / "ledger.db", read_only=True).queries()
    assert {row.status for row in rows} == {"asked"}
