"""The laws of a reward, each a function that asks it about images and raises LawError."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from zo_dno.oracle.event_loop import EventLoopThread
from zo_dno.reward import Reward
from zo_dno.testing.law import LawError, global_state, must
from zo_dno.types import Score, slices


def describes_itself(reward: Reward, *_: Any) -> None:
    """Name, unit and version are text, and what decides a score can be written as JSON."""
    for name in ("name", "unit", "version"):
        value = getattr(reward, name, None)
        must(isinstance(value, str) and bool(value), f"{name} must be text; got {value!r}.")
    try:
        written = json.loads(json.dumps(reward.identity))
    except TypeError as error:
        raise LawError(f"settings must be values that JSON can hold; {error}.") from None
    must(written == reward.identity, f"settings must come back from JSON as they are; got {written}.")


def answers(reward: Reward, images: Sequence[Image.Image], prompt: str, at_once: int) -> None:
    """Every image gets one score, a number in the range or NaN, and not all are missing."""
    low, high = reward.range
    values = scores(reward, images, prompt, at_once)
    must(not all(map(math.isnan, values)), "at least one image must get a score; all are missing.")
    for value in values:
        must(
            math.isnan(value) or (math.isfinite(value) and low <= value <= high),
            f"scores must be finite and from {low:g} to {high:g}, or NaN; got {value:g}.",
        )


def repeats(reward: Reward, images: Sequence[Image.Image], prompt: str, at_once: int) -> None:
    """The same image has the same score, unless the reward is `noisy`."""
    first, second = (scores(reward, images[:2], prompt, at_once) for _ in range(2))
    must(
        reward.noisy or _close(first, second, 0.0),
        f"the same images must get the same scores again, or `noisy` be True; got {first}, then {second}.",
    )


def batches(reward: Reward, images: Sequence[Image.Image], prompt: str, at_once: int) -> None:
    """A score depends on its own image alone, not on the others in the call or their order."""
    if reward.noisy:
        return
    together, alone = (scores(reward, images, prompt, n) for n in (at_once, 1))
    turned = scores(reward, images[::-1], prompt, at_once)[::-1]
    must(_close(together, alone, 1e-6), f"a score must not depend on the call; got {together}, alone {alone}.")
    must(_close(together, turned, 1e-6), f"scores must follow their images; got {together}, turned round {turned}.")


def leaves_everything_alone(reward: Reward, images: Sequence[Image.Image], prompt: str, at_once: int) -> None:
    """Neither the images nor the global generators of torch, NumPy and Python are written."""
    before, state = [np.asarray(image).copy() for image in images], global_state()
    scores(reward, images, prompt, at_once)
    must(global_state() == state, "global random generators must not be written; one was.")
    kept = all(np.array_equal(old, np.asarray(image)) for old, image in zip(before, images, strict=True))
    must(kept, "images must stay as they are; one was changed. Work on a copy.")


REWARD_LAWS: dict[str, Callable[..., None]] = {
    "describes_itself": describes_itself,
    "answers": answers,
    "repeats": repeats,
    "batches": batches,
    "leaves_everything_alone": leaves_everything_alone,
}


def scores(reward: Reward, images: Sequence[Image.Image], prompt: str, at_once: int) -> list[float]:
    """Score images, so many in a call, and return the values; missing ones are NaN."""
    calls = [images[rows] for rows in slices(len(images), at_once)]
    found: list[float] = []
    loop: EventLoopThread[Any] | None = EventLoopThread() if reward.is_async else None
    try:
        for call in calls:
            keys = [[hashlib.sha256(image.tobytes()).hexdigest() for image in call]] if reward.takes_keys else []
            answer: Any = reward(call, [prompt] * len(call), *keys)
            must(
                inspect.isawaitable(answer) == reward.is_async,
                "a call must be awaitable where `is_async` is True, and only there.",
            )
            values = loop.run(_awaited(answer)) if loop else answer
            must(len(values) == len(call), f"{len(call)} images must get as many scores; got {len(values)}.")
            found += [float(one.value if isinstance(one, Score) else one) for one in values]
    finally:
        if loop:
            loop.run(reward.aclose())
            loop.close()
    return found


async def _awaited(answer: Any) -> Any:
    return await answer


def _close(some: Sequence[float], others: Sequence[float], tolerance: float) -> bool:
    return all(
        (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
        for a, b in zip(some, others, strict=True)
    )


def pictures(n: int, seed: int = 0, side: int = 64) -> list[Image.Image]:
    """Make blurred noise, so that no two images compress alike."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(one).resize((side, side), Image.Resampling.BICUBIC) for one in small]
