"""The contract of a reward: images in, one score per image out, higher is better."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zo_dno.call_policy import CallPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from zo_dno.types import Score


class Reward(ABC):
    """A score to maximise. Subclass it as a frozen dataclass whose fields are the reward's settings.

    Attributes:
        name: what the reward is called in tables and results.
        unit: of the scores, such as "kB" or "score 0-10".
        version: raised whenever the same image would get another score.
        range: smallest and largest value that can be right; what lies outside is missing.
        policy: the terms it is asked on: how many at once, for how long, at what price.
        is_async: `__call__` is a coroutine function.
        batch: how many images one call takes at most. A call that fails loses all of them.
        takes_keys: `__call__` is given a third argument, a key for each image that is equal for equal questions only,
            so that a server can tell a call that is made again.
        keeps_answers: a call can be given up without loss: what was answered is kept, and found when it is made again.
        noisy: the same question may get another answer when it is asked again; then the best are asked about again.
        travels: it works in any process on any machine; False where it keeps files of its own in the run's folder.
    """

    name: str
    unit: str
    version: str = "1"
    range: tuple[float, float] = (-math.inf, math.inf)
    policy: CallPolicy = CallPolicy()
    is_async: bool = False
    batch: int = 1
    takes_keys: bool = False
    keeps_answers: bool = False
    noisy: bool = False
    travels: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "asking" in vars(cls):  # the attribute's former name: a price in it must not be lost
            cls.policy = vars(cls)["asking"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """What beside name and version decides a score."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a score beside image, prompt, repeat and rater; equal identities mean equal scores."""
        return {"name": self.name, "version": self.version, "settings": dict(self.settings)}

    @abstractmethod
    def __call__(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str]
    ) -> "Sequence[float | Score] | Awaitable[Sequence[float | Score]]":
        """Score the images, each drawn for the prompt in the same place."""
        ...

    def begin(self, folder: "Path | None") -> None:  # noqa: B027
        """Learn which folder the run keeps its files in, None if in none, before the first call."""

    async def aclose(self) -> None:  # noqa: B027, a hook that most have no use for
        """Let go of connections, on the event loop that asked; only where `is_async`."""
