"""One call of a reward: images and prompts in, one score per image out, or the failure."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from zo_dno.failures import LONGEST_KIND, Failure, failure_of, one_line, storable
from zo_dno.oracle.returned import scores_in
from zo_dno.types import Score

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from zo_dno.reward import Reward

_LONGEST_RAW = 100_000  # characters of a raw response
_MOST_COMPONENTS = 1000
_MOST = 2.0**63  # which a table's whole numbers stay below


def call(
    reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()
) -> list[Score] | Failure:
    """Score images (H, W, 3) uint8, or arrays for a reward that takes them.

    An exception of the reward is returned as a failure, never raised.

    Raises:
        KeyboardInterrupt: Raised in the main thread, where it is Ctrl-C.
    """
    started = time.perf_counter()
    try:
        values = reward(_given(reward, images), prompts, *([keys] if reward.takes_keys else ()))
        return _checked(values, reward, len(images), started)
    except BaseException as error:  # a reward is third-party code: its failure costs these queries, never the run
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        return failure_of(error)


async def call_async(
    reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()
) -> list[Score] | Failure:
    """Score images as `call` does, by a reward whose `__call__` is a coroutine function.

    Raises:
        CancelledError: This task itself is being cancelled, as opposed to one that the reward waits for.
    """
    started = time.perf_counter()
    try:
        values: Any = await reward(_given(reward, images), prompts, *([keys] if reward.takes_keys else ()))  # type: ignore[misc]
        return _checked(values, reward, len(images), started)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return failure_of(error)
    except BaseException as error:  # SystemExit, for instance, would end the event loop
        return failure_of(error)


def pictures(images: "Sequence[np.ndarray]") -> "list[Image.Image]":
    """Convert arrays (H, W, 3) uint8 to PIL images."""
    from PIL import Image

    return [Image.fromarray(image) for image in images]


def _given(reward: "Reward", images: "Sequence[np.ndarray]") -> "Sequence[Any]":
    """Return images as a reward takes them."""
    return images if reward.takes_arrays else pictures(images)


def _checked(values: Any, reward: "Reward", n: int, started: float) -> list[Score]:
    seconds = (time.perf_counter() - started) / n
    scores = [_score(value, reward.range) for value in scores_in(values, n, reward.name)]
    return [replace(score, seconds=score.seconds or seconds) for score in scores]


def _score(value: float | Score, valid: tuple[float, float]) -> Score:
    score = _with_finite_details(value) if isinstance(value, Score) else Score(value)
    (low, high), missing = valid, _missing_with(score)
    if score.missing:
        return missing(one_line(score.kind or "NaN", LONGEST_KIND), one_line(score.error or "the reward returned NaN"))
    if not math.isfinite(score.value):
        return missing("not finite", f"the reward returned {score.value}, outside {low} to {high}")
    if not low <= score.value <= high:
        return missing("out of range", f"the reward returned {score.value}, outside {low} to {high}")
    return score


def _with_finite_details(score: Score) -> Score:
    """Drop components and a spread that are not finite, and the ends of very long texts, and make plain numbers.

    A detail that is no number, or that cannot be, fails the call: nothing else could be counted or stored.
    """
    named = islice((score.components or {}).items(), _MOST_COMPONENTS)
    components = {one_line(str(name), LONGEST_KIND): float(value) for name, value in named if math.isfinite(value)}
    spread = None if score.spread is None or not math.isfinite(score.spread) else float(score.spread)
    cost = 0.0 if score.cost is None else score.cost
    for name, value in (
        *(("reward_violation", score.reward_violation), ("seconds", score.seconds)),
        *(("tokens", score.tokens), ("cost", cost)),
    ):
        if not 0 <= value < _MOST:
            raise ValueError(f"{name} must be at least 0 and finite; got {value}")
    return replace(
        score,
        value=float(score.value),
        reward_violation=float(score.reward_violation),
        seconds=float(score.seconds),
        tokens=int(score.tokens),
        cost=None if score.cost is None else float(score.cost),
        components=None if score.components is None else components,
        spread=spread,
        raw=score.raw and storable(str(score.raw)[:_LONGEST_RAW]),
    )


def _missing_with(score: Score) -> Callable[[str, str], Score]:
    raw = score.raw if score.missing else score.raw or repr(score.value)
    return lambda kind, error: replace(score, value=math.nan, kind=kind, error=error, raw=raw)
