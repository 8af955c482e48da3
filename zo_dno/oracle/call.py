"""One call of a reward: images and prompts in, one score per image out, or the failure."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zo_dno.failures import CallError, Failure, failure_of, one_line
from zo_dno.types import Score

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from zo_dno.reward import Reward


def call(
    reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()
) -> list[Score] | Failure:
    """Score images (H, W, 3) uint8. An exception of the reward is returned as a failure, never raised."""
    started = time.perf_counter()
    try:
        values = reward(pictures(images), prompts, *([keys] if reward.takes_keys else ()))
        return _checked(values, reward.range, len(images), started)
    except Exception as error:  # a reward is third-party code: its failure costs these queries, never the run
        return failure_of(error)


async def call_async(
    reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()
) -> list[Score] | Failure:
    """Score images as `call` does, by a reward whose `__call__` is a coroutine function."""
    started = time.perf_counter()
    try:
        values: Any = await reward(pictures(images), prompts, *([keys] if reward.takes_keys else ()))  # type: ignore[misc]
        return _checked(values, reward.range, len(images), started)
    except (Exception, SystemExit) as error:  # SystemExit would end the event loop, and the run would wait for ever
        return failure_of(error)


def pictures(images: "Sequence[np.ndarray]") -> "list[Image.Image]":
    """Convert arrays (H, W, 3) uint8 to PIL images."""
    from PIL import Image

    return [Image.fromarray(image) for image in images]


def _checked(values: Any, valid: tuple[float, float], n: int, started: float) -> list[Score]:
    if len(values) != n:
        message = f"{len(values)} scores for {n} images"
        raise CallError(Failure("wrong count", message, transient=False, billed=True))
    seconds = (time.perf_counter() - started) / n
    scores = [_score(value, valid) for value in values]
    return [replace(score, seconds=score.seconds or seconds) for score in scores]


def _score(value: Any, valid: tuple[float, float]) -> Score:
    score = _with_finite_details(value) if isinstance(value, Score) else Score(float(value))
    (low, high), missing = valid, _missing_with(score)
    if score.missing:
        return missing(score.kind or "NaN", one_line(score.error or "the reward returned NaN"))
    if not math.isfinite(score.value):
        return missing("not finite", f"the reward returned {score.value}, outside {low} to {high}")
    if not low <= score.value <= high:
        return missing("out of range", f"the reward returned {score.value}, outside {low} to {high}")
    return score


def _with_finite_details(score: Score) -> Score:
    """Drop components and a spread that are not finite; a detail that is no number fails the call."""
    components = score.components and {
        str(name): float(value) for name, value in score.components.items() if math.isfinite(value)
    }
    spread = None if score.spread is None or not math.isfinite(score.spread) else float(score.spread)
    if not 0 <= score.reward_violation < math.inf:
        raise ValueError(f"reward_violation must be at least 0 and finite; got {score.reward_violation}")
    return replace(score, components=components, spread=spread)


def _missing_with(score: Score) -> Callable[[str, str], Score]:
    raw = score.raw if score.missing else score.raw or repr(score.value)
    return lambda kind, error: replace(score, value=math.nan, kind=kind, error=error, raw=raw)
