"""Images that are ready are scored while the rest is being rendered."""

import os
import signal
import threading

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.oracles import Waiting
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.generators.renderer import LocalRenderer
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.types import Query


class Blocks(ToyGenerator):
    """Counts the blocks that have started; block n waits for `gates[n]`, if there is one."""

    batch_size = 4
    probed = True  # so that the blocks of a run alone are counted

    def __init__(self):
        super().__init__()
        self.started_blocks, self.gates, self.breaks_at = 0, {}, 0

    def __call__(self, z):
        self.started_blocks += 1
        if self.started_blocks == self.breaks_at:
            raise InputError("the paint is out")
        if gate := self.gates.get(self.started_blocks):
            assert gate.wait(PATIENCE)
        return super().__call__(z)


def comparable(result):
    return {key: value for key, value in result.to_dict().items() if key != "seconds"}


def test_the_next_block_is_rendered_while_the_first_is_being_scored():
    generator = Blocks()
    reward = Waiting(until=lambda: generator.started_blocks >= 2)  # no score before the second block has started
    result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 16})
    assert result.failed_queries == 0
    assert generator.started_blocks == 4


def test_responses_are_taken_while_a_block_is_being_rendered():
    generator = Blocks()
    reward = Waiting()
    generator.gates[2] = gate = threading.Event()
    reward.until = lambda: reward.completed > 0 or not gate.is_set()

    def open_gate():  # after all of the first block are scored
        while reward.completed < 4:
            threading.Event().wait(0.01)
        gate.set()

    opener = threading.Thread(target=open_gate)
    opener.start()
    zo_dno.optimize(generator, reward, queries=8, strategy_options={"population": 8})
    opener.join()
    assert reward.started == 8


@pytest.mark.parametrize("in_flight", [1, 3, 64])
def test_the_number_of_calls_in_flight_changes_nothing(in_flight):
    def result(reward, **policy):
        options = {"queries": 48, "seed": 3, "strategy_options": {"population": 12}, "top": 3}
        return comparable(zo_dno.optimize(Blocks(), reward, policy=policy, **options))

    expected = result(Waiting(), in_flight=2)
    assert result(Waiting(), in_flight=in_flight) == expected


def test_rendering_is_only_so_far_ahead_of_the_calls():
    generator = Blocks()
    reward = Waiting()
    reward.until = lambda: reward.started >= 2
    renderer = LocalRenderer(generator, in_background=True)
    oracle = Oracle(reward, CallPolicy(in_flight=1, timeout=1, attempts=1, breaker=0))
    most_waiting = []

    def queries(rendered):
        first = 4 * len(most_waiting)
        most_waiting.append(first + 4 - reward.started)
        return [Query(first + i, one.image, one.sha256, "p") for i, one in enumerate(rendered)]

    z = torch.randn(40, generator.layout.d, generator=torch.Generator().manual_seed(0))
    rendering = RenderQueue(renderer)
    rendering.add([(block, None) for block in z.split(4)], queries)
    responses = oracle.ask(rendering=rendering)
    assert len(responses) == 40
    assert max(most_waiting) <= 4 * (renderer.ahead + 1)
    oracle.close()
    renderer.close()


def test_scores_from_before_a_block_failed_are_kept(tmp_path):
    reward, broken, options = Waiting(), Blocks(), {"strategy_options": {"population": 16}}
    broken.breaks_at = 3
    with pytest.raises(InputError, match="the paint is out"):
        zo_dno.optimize(broken, reward, queries=16, policy={"durable": True}, out=tmp_path / "run", **options)
    result = zo_dno.resume(tmp_path / "run", generator=Blocks(), reward=reward)
    whole = zo_dno.optimize(Blocks(), Waiting(), queries=16, **options)
    assert result.best.reward == whole.best.reward
    assert reward.started == 16


def test_ctrl_c_while_a_block_is_being_rendered_keeps_the_scores(tmp_path, monkeypatch):
    generator, reward = Blocks(), Waiting()
    generator.gates[2] = gate = threading.Event()

    def press():
        while reward.completed < 4:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    stop = RenderQueue.stop
    monkeypatch.setattr(RenderQueue, "stop", lambda queue: (gate.set(), stop(queue)))  # the interrupt has arrived

    presser = threading.Thread(target=press)
    presser.start()
    result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 16}, out=tmp_path / "run")
    presser.join()
    assert result.status == "interrupted"
    assert result.queries == 4
    resumed = zo_dno.resume(tmp_path / "run", generator=Blocks(), reward=reward)
    assert resumed.queries == 16
    assert reward.started == 16


@pytest.mark.parametrize("n", [16, 1], ids=["while others wait", "at the last one"])
def test_ctrl_c_while_responses_are_written_loses_none(n):
    reward = Waiting()
    oracle = Oracle(reward, CallPolicy(in_flight=4))
    queries = [Query(i, np.full((4, 4, 3), i, dtype=np.uint8), str(i), "p") for i in range(n + 1)]
    taken, written = [], []

    def write(responses):
        taken.extend(responses)
        if not written:
            os.kill(os.getpid(), signal.SIGINT)  # a Python handler of it runs before the next line
        written.extend(responses)

    with pytest.raises(KeyboardInterrupt):
        oracle.ask(queries[:n], on_scored=write)
    assert written == taken
    assert min(n, 4) <= len(written) == reward.completed < 16
    assert oracle.ask(queries[n:])[0].score.value == n  # the interrupt leaves no trace
    oracle.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_equal_images_in_different_blocks_are_scored_once():
    class Same(Blocks):
        def __call__(self, z):
            return super().__call__(z).zero_()

    reward = Waiting()
    result = zo_dno.optimize(Same(), reward, queries=16, strategy_options={"population": 16})
    assert (reward.started, result.cached_queries) == (1, 15)
