"""Rewards and queries for tests of oracles."""

import asyncio
import threading
import time
from collections import Counter

import numpy as np

from tests.support.clocks import PATIENCE
from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle
from zo_dno.reward import Reward
from zo_dno.storage.images import image_hash
from zo_dno.types import Query

BUSY = Failure("busy", "come back later", transient=True, billed=False)
QUICK = {"first_wait": 0.001, "breaker": 0}


def image(value):
    return np.full((4, 4, 3), value, dtype=np.uint8)


def queries(values, **fields):
    return [
        Query(i, image(value), image_hash(image(value)), f"prompt {value}", **fields) for i, value in enumerate(values)
    ]


def value(images, prompts):
    """Score an image by its grey value."""
    return [float(np.asarray(one)[0, 0, 0]) for one in images]


def ask(reward, values=range(6), **policy):
    """Return the responses to queries of grey images."""
    reward = reward if isinstance(reward, Reward) else FunctionReward(reward)
    oracle = Oracle(reward, CallPolicy(**{**QUICK, **policy}))
    try:
        return oracle.ask(queries(values))
    finally:
        oracle.close()


class Batched(FunctionReward):
    batch = 4


class Together(Reward):
    """Scores on the event loop: the first calls finish after n of them are in flight, the last of these first."""

    name, unit, is_async = "together", "n", True

    def __init__(self, n):
        self.n, self.in_flight, self.most, self.gates = n, 0, 0, []

    async def __call__(self, images, prompts):
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        if len(self.gates) < self.n:
            self.gates.append(asyncio.Event())
            number = len(self.gates)
            if number == self.n:
                self.gates[-1].set()
            await asyncio.wait_for(self.gates[number - 1].wait(), PATIENCE)
            if number > 1:
                self.gates[number - 2].set()
        await asyncio.sleep(0)
        self.in_flight -= 1
        return value(images, prompts)


class Waiting(Reward):
    """Scores the brightness once `until` holds; fields count the calls that have started and finished."""

    name, unit, is_async = "waiting", "grey", True
    policy = CallPolicy(in_flight=4)

    def __init__(self, until=lambda: True):
        self.until, self.started, self.completed = until, 0, 0

    async def __call__(self, images, prompts):
        self.started += 1
        async with asyncio.timeout(PATIENCE):
            while not self.until():
                await asyncio.sleep(0.01)
        self.completed += 1
        return [float(image.resize((1, 1)).convert("L").getpixel((0, 0))) for image in images]


class Hanging:
    """Scores after so many calls that hang until the block ends; each calls `on_hang` first."""

    def __init__(self, calls=10**9, on_hang=lambda: None):
        self.left, self.on_hang, self.released = calls, on_hang, threading.Event()

    def __call__(self, images, prompts):
        if self.left:
            self.left -= 1
            self.on_hang()
            self.released.wait(PATIENCE)
        return value(images, prompts)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.released.set()


class Flaky:
    """Fails a number of times per image before it scores the image."""

    def __init__(self, failures, error=None):
        self.left, self.error, self.times = Counter(failures), error or CallError(BUSY), []

    def __call__(self, images, prompts):
        (number,) = value(images, prompts)
        self.times.append(time.monotonic())
        if self.left[number]:
            self.left[number] -= 1
            raise self.error
        return [number]
