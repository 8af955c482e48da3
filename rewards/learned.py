"""The base of rewards by trained networks: device, precision and the identity of the weights."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from zo_dno.errors import InputError
from zo_dno.reward import Reward
from zo_dno.storage.read_weights import usable_device
from zo_dno.storage.weights import fingerprint
from zo_dno.types import slices

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Precision = Literal["float32", "bfloat16", "float16"]
_NOT_IN_IDENTITY = ("batch", "device")  # options that do not change the score


@dataclass(frozen=True)
class LearnedReward(Reward):
    """A score by a trained network, whose weights are read once a process and known by their content.

    Args:
        model: Local path of the weights, or name on the Hugging Face hub that was downloaded before.
        batch: Number of images in one forward pass.
        dtype: Precision of the network; less than float32 changes scores slightly, and saves time and memory on a GPU.
        device: Device to compute on; by default "cuda" where there is a GPU, else "cpu".
    Raises:
        InputError: An option does not fit. Missing weights are an error when they are first needed.
    """

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
        """Name, version and dtype, and fingerprints of the weights in place of their paths."""
        content = {option: fingerprint(path) for option, path in self.weights.items()}
        settings = {name: value for name, value in self.settings.items() if name not in _NOT_IN_IDENTITY}
        return super().identity | {"settings": settings | content}

    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[float]:
        import torch

        device = usable_device(self.device)
        scores: list[float] = []
        with torch.inference_mode():
            for some in slices(len(images), self.batch):
                rgb = [image.convert("RGB") for image in images[some]]
                scores += self._scores(rgb, list(prompts[some]), device).tolist()
        return scores

    @abstractmethod
    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> "Tensor":
        """Score one batch of RGB images: (n,) float32."""
        ...
