"""What is drawn is asked about while the rest is being drawn."""

import asyncio
import os
import signal
import threading

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.generators.renderer import LocalRenderer
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.types import Query


class Blocks(ToyGenerator):
    """Notes how many blocks were begun; block n waits for `gates[n]`, if there is one."""

    batch_size = 4

    def __init__(self):
        super().__init__()
        self.begun, self.gates, self.breaks_at = 0, {}, 0

    def __call__(self, z):
        self.begun += 1
        if self.begun == self.breaks_at:
            raise InputError("the paint is out")
        if gate := self.gates.get(self.begun):
            assert gate.wait(20)
        return super().__call__(z)


class Waiting(zo_dno.Reward):
    """Answers the brightness, after `until` holds."""

    name, unit, is_async = "waiting", "grey", True
    policy = CallPolicy(in_flight=4)

    def __init__(self, until=lambda: True):
        self.until, self.asked, self.completed = until, 0, 0

    async def __call__(self, images, prompts):
        self.asked += 1
        for _ in range(2000):
            if self.until():
                break
            await asyncio.sleep(0.01)
        self.completed += 1
        return [float(image.resize((1, 1)).convert("L").getpixel((0, 0))) for image in images]


def comparable(result):
    return {key: value for key, value in result.to_dict().items() if key != "seconds"}


def test_the_next_block_is_drawn_while_the_first_is_being_asked_about():
    generator = Blocks()
    reward = Waiting(until=lambda: generator.begun >= 2)  # no answer before the second block is begun
    result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 16})
    assert result.failed_queries == 0
    assert generator.begun == 4


def test_answers_are_taken_while_a_block_is_being_drawn():
    generator = Blocks()
    reward = Waiting()
    generator.gates[2] = gate = threading.Event()
    reward.until = lambda: reward.completed > 0 or not gate.is_set()

    def open_gate():  # once all of the first block has been answered
        while reward.completed < 4:
            threading.Event().wait(0.01)
        gate.set()

    opener = threading.Thread(target=open_gate)
    opener.start()
    zo_dno.optimize(generator, reward, queries=8, strategy_options={"population": 8})
    opener.join()
    assert reward.asked == 8


@pytest.mark.parametrize("in_flight", [1, 3, 64])
def test_how_much_is_under_way_changes_nothing(in_flight):
    def result(reward, **policy):
        options = {"queries": 48, "seed": 3, "strategy_options": {"population": 12}, "top": 3}
        return comparable(zo_dno.optimize(Blocks(), reward, policy=policy, **options))

    expected = result(Waiting(), in_flight=2)
    assert result(Waiting(), in_flight=in_flight) == expected


def test_no_more_is_drawn_than_is_worth_it():
    generator = Blocks()
    reward = Waiting()
    reward.until = lambda: reward.asked >= 2
    renderer = LocalRenderer(generator, in_background=True)
    oracle = Oracle(reward, CallPolicy(in_flight=1, timeout=1, attempts=1, breaker=0))
    most_waiting = []

    def queries(rendered):
        first = 4 * len(most_waiting)
        most_waiting.append(first + 4 - reward.asked)
        return [Query(first + i, one.image, one.sha256, "p") for i, one in enumerate(rendered)]

    z = torch.randn(40, generator.layout.d, generator=torch.Generator().manual_seed(0))
    rendering = RenderQueue(renderer)
    rendering.add([(block, None) for block in z.split(4)], queries)
    answers = oracle.ask(rendering=rendering)
    assert len(answers) == 40
    assert max(most_waiting) <= 4 * (renderer.ahead + 1)
    oracle.close()
    renderer.close()


def test_what_was_answered_before_drawing_failed_is_kept(tmp_path):
    reward, broken, options = Waiting(), Blocks(), {"strategy_options": {"population": 16}}
    broken.breaks_at = 3
    with pytest.raises(InputError, match="the paint is out"):
        zo_dno.optimize(broken, reward, queries=16, policy={"durable": True}, out=tmp_path / "run", **options)
    result = zo_dno.resume(tmp_path / "run", generator=Blocks(), reward=reward)
    whole = zo_dno.optimize(Blocks(), Waiting(), queries=16, **options)
    assert result.best.reward == whole.best.reward
    assert reward.asked == 16


def test_ctrl_c_while_drawing_in_the_background_keeps_the_answers(tmp_path):
    generator, reward = Blocks(), Waiting()
    generator.gates[2] = gate = threading.Event()

    def press():
        while reward.completed < 4:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.1)
        gate.set()

    presser = threading.Thread(target=press)
    presser.start()
    result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 16}, out=tmp_path / "run")
    presser.join()
    assert result.status == "interrupted"
    assert 4 <= result.queries <= 8
    gone_on = zo_dno.resume(tmp_path / "run", generator=Blocks(), reward=reward)
    assert gone_on.queries == 16
    assert reward.asked == 16


@pytest.mark.parametrize("n", [16, 1], ids=["while others wait", "at the last one"])
def test_ctrl_c_while_answers_are_written_down_loses_none_of_them(n):
    reward = Waiting()
    oracle = Oracle(reward, CallPolicy(in_flight=4))
    asked = [Query(i, np.full((4, 4, 3), i, dtype=np.uint8), str(i), "p") for i in range(n + 1)]
    begun, written = [], []

    def write(answers):
        begun.extend(answers)
        if not written:
            os.kill(os.getpid(), signal.SIGINT)  # a Python handler of it runs before the next line
        written.extend(answers)

    with pytest.raises(KeyboardInterrupt):
        oracle.ask(asked[:n], on_scored=write)
    assert written == begun
    assert min(n, 4) <= len(written) == reward.completed < 16
    assert oracle.ask(asked[n:])[0].score.value == n  # nothing of it is left
    oracle.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_equal_images_in_different_blocks_are_asked_about_once():
    class Same(Blocks):
        def __call__(self, z):
            return super().__call__(z).zero_()

    reward = Waiting()
    result = zo_dno.optimize(Same(), reward, queries=16, strategy_options={"population": 16})
    assert (reward.asked, result.cached_queries) == (1, 15)
