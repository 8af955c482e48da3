"""The agreement of an image of the built-in model with its prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from zo_dno.reward import Reward

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from zo_dno.scenes.judge import Judge


@dataclass(frozen=True)
class PromptMatch(Reward):
    """Probability that the scene judge gives to the prompt's place, time, weather and object, in [0, 1]."""

    name = "prompt_match"
    unit = "probability"
    range = (0.0, 1.0)
    batch = 16

    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> Sequence[float]:
        return _judge().prompt_match(images, prompts)

    def differentiable(self, images: "Tensor", prompts: Sequence[str]) -> "Tensor":
        """The same of images (n, 3, H, W) in [0, 1]: (n,)."""
        return _judge().differentiable_match(images, prompts)


@cache
def _judge() -> "Judge":
    from zo_dno.scenes.judge import Judge

    return Judge.load()
