"""Rewards and runs for tests of combinations."""

import asyncio

import numpy as np

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import RunError
from zo_dno.oracle.combination.scales import Scale
from zo_dno.rewards.combinations import WeightedSum
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Score

CHEAP, EXPENSIVE = 0.01, 0.05


def bright(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def red(images, prompts):
    return [float(np.asarray(image)[..., 0].mean()) for image in images]


def rough(images, prompts):
    return [float(np.abs(np.diff(np.asarray(image).astype(float), axis=0)).mean()) for image in images]


def constant(images, prompts):
    return [7.0] * len(images)


for function in (bright, red, rough, constant):
    vars(function).update(version="1")


def optimize(reward, strategy="snes", **options):
    options = {"queries": 32, "seed": 3, "strategy_options": {"population": 8}, **options}
    return zo_dno.optimize(ToyGenerator(), reward, strategy, **options)


def attempt(*arguments, **options):
    """Run, and return the result, or else the message of the error."""
    try:
        return optimize(*arguments, **options), ""
    except RunError as error:
        return None, str(error)


def resume(folder, reward=None, **options):
    return zo_dno.resume(folder, generator=ToyGenerator(), reward=reward, **options)


def both(**options):
    return WeightedSum({"bright": {"reward": bright}, "rough": {"reward": rough, "weight": -2}}, **options)


def rows_of(folder, stage="search"):
    return Ledger(folder / "ledger.db", read_only=True).queries(stage)


def scored(reward, scales=None, **values):
    scores = {name: value if isinstance(value, Score) else Score(value) for name, value in values.items()}
    return reward.score(scores, {name: Scale(*scale) for name, scale in (scales or {}).items()})


def priced(function, price, log=None, stops=None):
    """A reward with a price that logs every image it scores, and may stop the run at a call."""

    def reward(images, prompts):
        log.append(np.asarray(images[0]).tobytes())
        if stops is not None and stops[0] == len(log):
            raise stops[1]
        return function(images, prompts)

    log = [] if log is None else log
    reward.__name__ = reward.__qualname__ = function.__name__
    vars(reward).update(version="1", policy=CallPolicy(price=price, attempts=1), log=log)
    return reward


def expensive(logs=None, stops=None, **options):
    """A combination of a cheap and an expensive term; `stops` are (call, error) for each."""
    logs, stops = logs or ([], []), stops or (None, None)
    parts = [priced(bright, CHEAP, logs[0], stops[0]), priced(rough, EXPENSIVE, logs[1], stops[1])]
    return WeightedSum(parts, warm_up=4, **options)


class Slow(zo_dno.Reward):
    """Scores on the event loop, several calls at once, dark images last."""

    name, unit, is_async, takes_keys = "slow", "n", True, True
    policy = CallPolicy(in_flight=4)

    async def __call__(self, images, prompts, keys=()):
        assert len(keys) == 1
        await asyncio.sleep(0.002 * (255 - bright(images, prompts)[0]) / 255)
        return [Score(value, components={"own": 1.0}, spread=0.5) for value in bright(images, prompts)]


def stopping(function, at):
    """Return a function as reward that presses Ctrl-C at one of its calls, and is otherwise the same reward."""
    calls = []

    def reward(images, prompts):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return function(images, prompts)

    for name in ("__name__", "__qualname__", "__module__"):
        setattr(reward, name, getattr(function, name))
    vars(reward).update(version="1")
    return reward
