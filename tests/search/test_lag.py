"""Runs with a lag: strategies that propose populations before the last ones are scored."""

import asyncio
import random
import threading
from dataclasses import replace

import numpy as np
import pytest

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.resuming import PAID, brightness, check_ctrl_c, content, resume, settled, stops
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.rewards.combinations import WeightedSum
from zo_dno.storage.ledger import Ledger

LAG = 2


def run(folder, reward=settled, strategy="auto", **options):
    options = {"queries": 64, "seed": 3, "strategy_options": {"population": 8}, "lag": LAG, **options}
    return zo_dno.optimize(ToyGenerator(), reward, strategy, out=folder, **options)


def shuffled(seed):
    """Return the reward `settled` with random delays."""
    rng = random.Random(seed)

    async def reward(images, prompts):
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.03]))
        return brightness(images, prompts)

    reward.__name__ = reward.__qualname__ = "settled"
    vars(reward).update(version="1")
    return reward


@pytest.mark.parametrize("strategy", ["auto", "snes", "genetic"])
@pytest.mark.parametrize("options", [{}, {"gamma": "auto"}], ids=["reward", "regularised"])
@pytest.mark.fast_cases(1)
def test_timing_does_not_change_the_run(tmp_path, strategy, options):
    run(tmp_path / "0", strategy=strategy, **options)
    for seed, in_flight in ((1, 3), (2, 32)):
        folder = tmp_path / str(seed)
        run(folder, shuffled(seed), strategy, policy={"in_flight": in_flight}, **options)
        assert content(folder) == content(tmp_path / "0")


def test_a_slow_response_delays_only_the_population_that_needs_it(tmp_path):
    """The second response comes only after the last query of the third population was sent."""
    queried, enough = [], threading.Event()

    async def judge(images, prompts):
        queried.append(images)
        slow = len(queried) == 2  # the first call of a function is made alone
        if len(queried) == 3 * 8:
            enough.set()
        while slow and not enough.is_set():
            await asyncio.sleep(0.001)
        if slow:
            await asyncio.sleep(0.2)
            assert len(queried) == 3 * 8, "the fourth population needs the scores of the first"
        return brightness(images, prompts)

    result = run(tmp_path / "run", judge, policy={"in_flight": 64, "timeout": 60, "attempts": 1})
    assert result.queries == len(queried) == 64
    assert result.failed_queries == 0


def test_every_population_is_proposed_after_a_fixed_number_of_tells(tmp_path):
    calls = []

    class Written:
        lag = LAG

        def __init__(self, problem):
            from zo_dno.strategies.random_search import RandomSearch

            self.inner = RandomSearch(problem, population=4)

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def ask(self):
            candidates = self.inner.ask()
            calls.append(("ask", candidates.ids[0] // 4))
            return candidates

        def tell(self, candidates, scores):
            calls.append(("tell", candidates.ids[0] // 4))
            self.inner.tell(candidates, scores)

        def state_dict(self):
            return self.inner.state_dict()

        def load_state_dict(self, state):
            self.inner.load_state_dict(state)

    run(None, shuffled(1), Written, queries=24, strategy_options={})
    told_before = {
        number: [n for what, n in calls[: calls.index(("ask", number))] if what == "tell"] for number in range(6)
    }
    assert told_before == {0: [], 1: [], 2: [], 3: [0], 4: [0, 1], 5: [0, 1, 2]}
    assert [n for what, n in calls if what == "tell"] == list(range(6))


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
def test_a_resumed_run_with_a_larger_budget_equals_one_that_always_had_it(tmp_path, policy):
    run(tmp_path / "whole", horizon=21, top=3, policy=policy)
    run(tmp_path / "parts", queries=21, top=3, policy=policy)
    resume(tmp_path / "parts", settled, queries=41)
    resume(tmp_path / "parts", settled, queries=64)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("at", [1, 8, 9, 20, 40, 64])
@pytest.mark.fast_cases(2)
def test_ctrl_c_and_resume(tmp_path, at, policy):
    check_ctrl_c(run, tmp_path, at, gamma=0.5, policy=policy)


def test_a_dead_server_pauses_the_run_and_its_failures_do_not_count(tmp_path):
    policy = {"breaker": 3, "attempts": 1, "price": 0.01}
    run(tmp_path / "whole", settled, policy=policy)
    dies = stops(20, ConnectionError("no route to the judge"), after=True)
    paused = run(tmp_path / "parts", dies, policy=policy)
    assert paused.status == "paused"
    assert paused.failed_queries == 0
    resume(tmp_path / "parts", settled)
    (result, rows, *others), (expected, expected_rows, *expected_others) = (
        content(tmp_path / name) for name in ("parts", "whole")
    )
    assert (result, others) == (expected, expected_others)
    assert [replace(row, failures="") for row in rows] == expected_rows  # those that are kept


def test_a_run_whose_model_renders_other_images_continues_from_the_snapshot(tmp_path):
    run(tmp_path / "run", stops(30, KeyboardInterrupt()), policy=PAID)
    before = [row.image for row in Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries() if row.completed]

    class Other(ToyGenerator):
        def __call__(self, z):
            return 255 - super().__call__(z)

    result = resume(tmp_path / "run", settled, Other(), accept_drift=True)
    assert result.queries == 64
    assert len(before) == 29
    images = [row.image for row in Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()]
    assert images[:24] == before[:24]


def test_the_limits_hold(tmp_path):
    assert run(None, shuffled(4), queries=61).queries == 61
    costly = run(None, settled, policy={"price": 1.0, "attempts": 1}, max_cost=30)
    assert (costly.queries, costly.stopped_by) == (30, "cost")
    target = run(None, shuffled(5), target=140.0)
    assert target.status == "target"
    assert target.queries < 64


def test_combinations_work_with_a_lag(tmp_path):
    called = []

    def darkness(images, prompts):
        called.append(len(images))
        return [-value for value in brightness(images, prompts)]

    rewards = ["contrast", FunctionReward(darkness)]
    run(tmp_path / "run", WeightedSum(rewards, warm_up=4), queries=40)
    assert called == [1] * 44
    told = [row.told for row in Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()]
    assert len(told) == 40
    assert None not in told


def test_five_populations_are_rendered_before_the_first_response():
    blocks, enough = [], threading.Event()

    class Noting(ToyGenerator):
        def __call__(self, z):
            blocks.append(len(z))
            if len(blocks) == 2 + 5:
                enough.set()
            return super().__call__(z)

    def judge(images, prompts):
        assert enough.wait(PATIENCE)
        return brightness(images, prompts)

    options = {"policy": {"in_flight": 64, "attempts": 1}, "strategy_options": {"population": 8}}
    result = zo_dno.optimize(Noting(), judge, "auto", queries=40, lag=4, **options)
    assert result.failed_queries == 0
    assert blocks == [1, 2] + [8] * 5  # the trial first


def test_strategies_and_spaces_without_a_lag_are_refused():
    with pytest.raises(InputError, match="lag must be 0 with CMAES, which has to know every score first; got 2"):
        run(None, strategy="cmaes")
    with pytest.raises(InputError, match="lag must be 0 with screen"):
        run(None, screen=4)
    with pytest.raises(InputError, match="lag must be 0 in this space, which is made from the scores of"):
        run(None, strategy="snes", space="elites")
    assert np.isfinite(run(None, strategy="snes", space="low_band", space_options={"dims": 12}).best.reward)


def test_a_strategy_that_declares_no_lag_is_refused():
    class Plain:
        def __init__(self, problem):
            self.problem = problem

        def ask(self): ...

        tell = state_dict = load_state_dict = ask

    with pytest.raises(InputError, match="lag must be 0 with .*Plain, which declares none; got 2"):
        run(None, strategy=Plain, strategy_options={})
