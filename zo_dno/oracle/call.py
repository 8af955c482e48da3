"""One call of a reward: images and prompts in, a score for each image or the reason why there is none."""

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

Outcome = list[Score] | Failure


def call(reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()) -> Outcome:
    """Ask a reward about images (H, W, 3) uint8; whatever it does, this returns."""
    started = time.perf_counter()
    try:
        answers = reward(pictures(images), prompts, *([keys] if reward.takes_keys else ()))
        return _checked(answers, reward.range, len(images), started)
    except Exception as error:  # a reward is anybody's code: its failure costs these queries, never the run
        return failure_of(error)


async def call_async(
    reward: "Reward", images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str] = ()
) -> Outcome:
    """Ask a reward whose `__call__` is a coroutine."""
    started = time.perf_counter()
    try:
        answers: Any = await reward(pictures(images), prompts, *([keys] if reward.takes_keys else ()))  # type: ignore[misc]
        return _checked(answers, reward.range, len(images), started)
    except Exception as error:
        return failure_of(error)


def pictures(images: "Sequence[np.ndarray]") -> "list[Image.Image]":
    """Turn arrays (H, W, 3) uint8 into PIL images."""
    from PIL import Image

    return [Image.fromarray(image) for image in images]


def _checked(answers: Any, valid: tuple[float, float], n: int, started: float) -> list[Score]:
    if len(answers) != n:
        message = f"{len(answers)} scores for {n} images"
        raise CallError(Failure("wrong count", message, transient=False, billed=True))
    seconds = (time.perf_counter() - started) / n
    scores = [_score(answer, valid) for answer in answers]
    return [replace(score, seconds=score.seconds or seconds) for score in scores]


def _score(answer: Any, valid: tuple[float, float]) -> Score:
    score = _tidied(answer) if isinstance(answer, Score) else Score(float(answer))
    (low, high), missing = valid, _missing_with(score)
    if score.missing:
        return missing(score.kind or "NaN", one_line(score.error or "the reward returned NaN"))
    if not math.isfinite(score.value):
        return missing("not finite", f"the reward returned {score.value}, outside {low} to {high}")
    if not low <= score.value <= high:
        return missing("out of range", f"the reward returned {score.value}, outside {low} to {high}")
    return score


def _tidied(score: Score) -> Score:
    """Keep the finite ones of the numbers beside the value; what is no number is a fault of the call."""
    parts = score.components and {
        str(name): float(value) for name, value in score.components.items() if math.isfinite(value)
    }
    spread = None if score.spread is None or not math.isfinite(score.spread) else float(score.spread)
    if not 0 <= score.reward_violation < math.inf:
        raise ValueError(f"reward_violation must be at least 0 and finite; got {score.reward_violation}")
    return replace(score, components=parts, spread=spread)


def _missing_with(score: Score) -> Callable[[str, str], Score]:
    raw = score.raw if score.missing else score.raw or repr(score.value)
    return lambda kind, error: replace(score, value=math.nan, kind=kind, error=error, raw=raw)
