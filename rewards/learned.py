"""The base of rewards by trained networks: device, precision, batch and the identity of the weights."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from zo_dno.errors import InputError
from zo_dno.generators.torchvision_check import without_broken_torchvision
from zo_dno.reward import Reward
from zo_dno.storage.read_weights import usable_device
from zo_dno.storage.weights import fingerprint
from zo_dno.types import Score, slices

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Precision = Literal["float32", "bfloat16", "float16"]
_NOT_IN_IDENTITY = ("batch", "device")  # settings that do not change the score, or by less than the tolerance
_PROBES = ("a", "a red house by the sea at dusk", "x")  # prompts of several lengths, which a batch pads to one


@dataclass(frozen=True)
class LearnedReward(Reward):
    """A score by a trained network, whose weights are read once a process and known by their content.

    Args:
        model: Local path of the weights, or name on the Hugging Face hub that was downloaded before.
        batch: Number of images in one forward pass. It is part of the identity where it may change a score by more
            than the `tolerance`: in less than float32, and where the scores of three images differ from those that the
            images get alone.
        dtype: Precision of the network; less than float32 changes scores slightly, and saves time and memory on a GPU.
        device: Device to compute on; by default "cuda" where there is a GPU, else "cpu".
    Raises:
        InputError: An option does not fit. Missing weights are an error when they are first needed.
    """

    tolerance: ClassVar[float] = 1e-3  # largest difference by rounding that is no other score, in the unit

    model: str
    batch: int = 16
    dtype: Precision = "float32"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"batch must be at least 1; got {self.batch}.")
        if self.dtype not in get_args(Precision):
            raise InputError(f"dtype must be one of {', '.join(get_args(Precision))}; got {self.dtype!r}.")

    @property
    @abstractmethod
    def weights(self) -> dict[str, Path]:
        """Local path of the weights of each option that names some.

        Raises:
            InputError: Weights are not on this machine; the message names the command that downloads them.
        """
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and dtype, fingerprints of the weights in place of their paths, and the batch if it matters."""
        content = {option: fingerprint(path) for option, path in self.weights.items()}
        settings = {name: value for name, value in self.settings.items() if name not in _NOT_IN_IDENTITY}
        batch = {"batch": self.batch} if self._batch_matters else {}
        return super().identity | {"settings": settings | content} | batch

    @property
    def _batch_matters(self) -> bool:
        if self.dtype != "float32":
            return True
        return self.batch > 1 and batch_effect(self) > self.tolerance

    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> "list[float | Score]":
        import torch

        device = usable_device(self.device)
        scores: list[float | Score] = []
        with without_broken_torchvision(), torch.inference_mode():  # the network is loaded by the first call
            for some in slices(len(images), self.batch):
                rgb = [image.convert("RGB") for image in images[some]]
                found = self._scores(rgb, list(prompts[some]), device)
                scores += found if isinstance(found, list) else found.tolist()
        return scores

    @abstractmethod
    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor | list[Score]":
        """Score one batch of RGB images: (n,) float32, or n scores with more than a number."""
        ...


@cache
def batch_effect(reward: LearnedReward) -> float:
    """Return the largest difference between scores of three small images in one batch and alone, in the reward's unit.

    It is found once a process, by two passes through the network, which is then there for the first query.
    """
    images = _probe_images(len(_PROBES))
    together, alone = (values_of(replace(reward, batch=batch)(images, _PROBES)) for batch in (len(_PROBES), 1))
    differences = [abs(one - other) for one, other in zip(together, alone, strict=True) if one == one or other == other]
    return max((math.inf if math.isnan(difference) else difference for difference in differences), default=0.0)


def _probe_images(n: int) -> "list[Image.Image]":
    """Return images with a gradient of their own hue."""
    import numpy as np
    from PIL import Image

    ramp = np.linspace(0, 255, 64)
    planes = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 128.0), axis=-1).astype(np.uint8)
    return [Image.fromarray(np.ascontiguousarray(np.roll(planes, shift, axis=-1))) for shift in range(n)]


def values_of(scores: "Sequence[float | Score]") -> list[float]:
    """Return the values of scores; NaN where one is missing."""
    return [score.value if isinstance(score, Score) else score for score in scores]
