"""Functions that misbehave as rewards; their module imports next to nothing, so that actors are quick to load it."""

import _thread
import asyncio
import contextlib
import math
import sys
import time

import zo_dno


class OwnExit(BaseException):
    """Neither an Exception nor one that Python knows."""


class UnspeakableError(Exception):
    """Cannot be turned into a text."""

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class TrapError(Exception):
    """Raises when it is looked at."""

    @property
    def response(self):
        raise OSError("trap")


class Heavy:
    """Ends the program when it is used as a number."""

    def __float__(self):
        sys.exit(4)


class Uncountable(list[float]):
    def __len__(self):
        raise OwnExit


def raising(make):
    def reward(images, prompts):
        raise make()

    return reward


def returning(make):
    return lambda images, prompts: make(len(images))


def deep(images, prompts):
    return deep(images, prompts)


def nested_loop(images, prompts):
    return asyncio.run(asyncio.sleep(0, "no list"))


def interrupts_the_main_thread_of_its_mind(images, prompts):
    raise KeyboardInterrupt("mine")


HUGE = "x" * 5_000_000
SYNC = {
    "base exception": (raising(OwnExit), "OwnExit"),
    "exit": (raising(lambda: SystemExit(3)), "SystemExit"),
    "sys.exit": (lambda images, prompts: sys.exit(3), "SystemExit"),
    "thread exit": (lambda images, prompts: _thread.exit(), "SystemExit"),
    "interrupt": (interrupts_the_main_thread_of_its_mind, "KeyboardInterrupt"),
    "generator exit": (raising(GeneratorExit), "GeneratorExit"),
    "cancelled": (raising(asyncio.CancelledError), "CancelledError"),
    "stop iteration": (raising(StopIteration), "StopIteration"),
    "stop asynchronous iteration": (raising(StopAsyncIteration), "StopAsyncIteration"),
    "group": (raising(lambda: BaseExceptionGroup("many", [OwnExit(), ValueError()])), "BaseExceptionGroup"),
    "no text": (raising(UnspeakableError), "UnspeakableError"),
    "trap": (raising(TrapError), "TrapError"),
    "huge text": (raising(lambda: ValueError(HUGE)), "ValueError"),
    "huge name": (raising(lambda: type("E" * 100_000, (Exception,), {})()), "E" * 80),
    "control characters": (raising(lambda: ValueError("\x1b]52;c;cm0=\x07\x1b[2J\r\n\x00bad\u202e")), "ValueError"),
    "recursion": (deep, "RecursionError"),
    "memory": (raising(MemoryError), "MemoryError"),
    "loop inside": (nested_loop, None),
    "none": (returning(lambda n: None), "no scores"),
    "a number": (returning(lambda n: 3.0), "no scores"),
    "a text": (returning(lambda n: "high"), "no scores"),
    "texts": (returning(lambda n: ["high"] * n), "no scores"),
    "complex": (returning(lambda n: [1j] * n), "no scores"),
    "dicts": (returning(lambda n: [{}] * n), "no scores"),
    "too many": (returning(lambda n: [1.0] * (n + 1)), "wrong count"),
    "too few": (returning(lambda n: []), "wrong count"),
    "an iterator": (returning(lambda n: iter([1.0] * n)), "no scores"),
    "not a number": (returning(lambda n: [math.nan] * n), "NaN"),
    "infinite": (returning(lambda n: [math.inf] * n), "not finite"),
    "huge integer": (returning(lambda n: [10**400] * n), "OverflowError"),
    "exit as a number": (returning(lambda n: [Heavy()] * n), "SystemExit"),
    "uncountable": (returning(lambda n: Uncountable([1.0] * n)), "OwnExit"),
    "huge reason": (returning(lambda n: [zo_dno.Score(math.nan, error=HUGE, kind=HUGE)] * n), None),
    "unknown violation": (
        returning(lambda n: [zo_dno.Score(1.0, reward_violation=math.nan)] * n),
        "ValueError",
    ),
}


async def waits_for_a_cancelled_task(images, prompts):
    inner = asyncio.ensure_future(asyncio.sleep(9))
    inner.cancel()
    await inner


async def cancels_itself(images, prompts):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def cancels_all(images, prompts):
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


async def stops_the_loop(images, prompts):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)
    return [1.0] * len(images)


async def begins_a_task_that_exits(images, prompts):
    async def leave():
        sys.exit(5)

    task = asyncio.ensure_future(leave())
    await asyncio.wait([task])
    return [2.0] * len(images)


async def exits(images, prompts):
    sys.exit(6)


async def interrupts(images, prompts):
    raise KeyboardInterrupt


async def own(images, prompts):
    raise OwnExit


ASYNC = {
    "waits for a cancelled task": (waits_for_a_cancelled_task, "CancelledError"),
    "cancels itself": (cancels_itself, "CancelledError"),
    "cancels all": (cancels_all, "CancelledError"),
    "stops the loop": (stops_the_loop, 1.0),
    "begins a task that exits": (begins_a_task_that_exits, 2.0),
    "exits": (exits, "SystemExit"),
    "interrupts": (interrupts, "KeyboardInterrupt"),
    "base exception": (own, "OwnExit"),
}


async def ignores_cancellation(images, prompts):
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


async def never_returns(images, prompts):
    await asyncio.get_running_loop().create_future()


def endless(images, prompts):
    while True:
        time.sleep(0.05)


async def named(images, prompts):
    """Misbehave as the prompt says."""
    return await {**{name: one for name, (one, _) in ASYNC.items()}, **ENDLESS}[prompts[0]](images, prompts)


def named_plain(images, prompts):
    """Misbehave as the prompt says, and not asynchronously."""
    return {**{name: one for name, (one, _) in SYNC.items()}, "endless": endless}[prompts[0]](images, prompts)


ENDLESS = {"ignores_cancellation": ignores_cancellation, "never_returns": never_returns}
