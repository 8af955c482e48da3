"""Values that authors of learned rewards published for pictures that anyone can get."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Published:
    """Published scores of pictures.

    Attributes:
        source: Address that says the values and has the pictures.
        pictures: File name of the picture of each score; a name may be repeated.
        prompts: Prompt of each score.
        values: Published values.
        tolerance: Largest difference that other hardware and precision explain.
        options: Options of the reward that the values belong to.
        softmax: Whether the values are the softmax of the scores.
    """

    source: str
    pictures: Sequence[str]
    prompts: Sequence[str]
    values: Sequence[float]
    tolerance: float
    options: Mapping[str, str] = field(default_factory=dict)
    softmax: bool = False

    def compared(self, scores: Sequence[float]) -> list[float]:
        """Return what is to be compared with the published values."""
        if not self.softmax:
            return list(scores)
        highest = max(scores)
        weights = [math.exp(score - highest) for score in scores]
        return [weight / sum(weights) for weight in weights]


_CAPTIONS = ("a diagram", "a dog", "a cat")
PUBLISHED = {
    "clip_score": Published(
        source="https://github.com/openai/CLIP",
        pictures=("CLIP.png",) * 3,
        prompts=_CAPTIONS,
        values=(0.9927937, 0.00421068, 0.00299572),
        tolerance=0.002,
        options={"model": "openai/clip-vit-base-patch32"},
        softmax=True,
    ),
    "image_reward": Published(
        source="https://github.com/zai-org/ImageReward/tree/main/assets/images",
        pictures=("1.webp", "2.webp", "3.webp", "4.webp"),
        prompts=("a painting of an ocean with clouds and birds, day time, low depth field effect",) * 4,
        values=(0.5811622738838196, 0.2745276093482971, -1.4131819009780884, -2.029569625854492),
        tolerance=0.01,
    ),
}
