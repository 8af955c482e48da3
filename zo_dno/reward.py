"""The contract of a reward: images in, one score per image out, higher is better."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from zo_dno.types import Score


class Reward(ABC):
    """A score to maximise. Subclass it as a frozen dataclass whose fields are the reward's settings.

    Attributes:
        name: what the reward is called in tables and results.
        unit: of the scores, such as "kB" or "score 0-10".
        version: raised whenever the same image would get another score.
        range: smallest and largest value that can be right; what lies outside is missing.
        price: of one query, in the user's currency.
        is_async: `__call__` is a coroutine, and many may be under way at once.
        batch: how many images one call takes at most. A call that fails loses all of them.
    """

    name: str
    unit: str
    version: str = "1"
    range: tuple[float, float] = (-math.inf, math.inf)
    price: float = 0.0
    is_async: bool = False
    batch: int = 1

    @property
    def settings(self) -> Mapping[str, Any]:
        """What beside name and version decides a score."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}

    @abstractmethod
    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> "Sequence[float | Score]":
        """Score the images, each drawn for the prompt in the same place."""
        ...
