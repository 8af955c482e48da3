"""The features of a trained network of images, such as CLIP, SigLIP or DINOv2, differentiable."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn.functional import interpolate, normalize

from zo_dno.storage.read_weights import load_whole, read_once, reading, usable_device
from zo_dno.storage.weights import WEIGHTS, model_folder

if TYPE_CHECKING:
    from torch import nn

_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_MEAN = _STD = (0.5, 0.5, 0.5)  # where a processor names none, as SigLIP's
_SIDE = 224  # pixels, where neither the network nor its processor names a size


class Embedding:
    """Unit vectors that a network gives images, which are scaled to its square and not cropped.

    Args:
        model: Folder or hub name, downloaded before, of a model that transformers loads by AutoModel.
        device: Device to compute on; by default "cuda" where there is a GPU, else "cpu".
    Raises:
        InputError: The model is not on this machine, or cannot be read.
    """

    def __init__(self, model: str, device: str | None = None) -> None:
        self._given = (model, device)
        folder = model_folder("embedding", model, (*WEIGHTS, " or ".join(_PROCESSORS)))
        self._device = usable_device(device)
        self._network = _load(folder, self._device)
        settings = _processor(folder)
        self._mean, self._std = (
            settings.get(name, default) for name, default in (("image_mean", _MEAN), ("image_std", _STD))
        )
        self._side = _side_of(self._network, settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return Embedding, self._given  # actors read the network themselves

    def __call__(self, images: Tensor) -> Tensor:
        """Embed images (n, 3, H, W) in [0, 1]: (n, m), each row of length 1."""
        images = images.to(self._device)
        pixels = interpolate(images, (self._side, self._side), mode="bicubic", antialias=True, align_corners=False)
        mean, std = (pixels.new_tensor(values)[:, None, None] for values in (self._mean, self._std))
        found = normalize(_vectors(self._network, (pixels.clamp(0, 1) - mean) / std), dim=-1)
        return found.cpu()


def _vectors(network: "nn.Module", pixels: Tensor) -> Tensor:
    embed = getattr(network, "get_image_features", None)  # of networks that know texts, too
    found: Any = network(pixel_values=pixels) if embed is None else embed(pixel_values=pixels)
    if isinstance(found, Tensor):
        return found
    pooled: Tensor | None = getattr(found, "pooler_output", None)
    return found.last_hidden_state.mean(1) if pooled is None else pooled.flatten(1)


@read_once
def _load(folder: Path, device: str) -> Any:
    """Read a network once a process.

    Raises:
        InputError: It cannot be read, or is not whole.
    """
    from transformers import AutoModel

    with reading("embedding", folder):
        return load_whole(AutoModel, folder, dtype="float32").to(device)


def _processor(folder: Path) -> dict[str, Any]:
    path = next(folder / name for name in _PROCESSORS if (folder / name).exists())
    with reading("embedding", path):
        found = json.loads(path.read_text(encoding="utf-8"))
        settings: dict[str, Any] = found.get("image_processor", found)
        return settings


def _side_of(network: Any, settings: dict[str, Any]) -> int:
    config = getattr(network.config, "vision_config", network.config)
    size = settings.get("crop_size") or settings.get("size") or {}
    sides = [size] if isinstance(size, int) else [size.get("height"), size.get("shortest_edge")]
    known = [side for side in (*sides, getattr(config, "image_size", None)) if isinstance(side, int)]
    return known[0] if known else _SIDE
