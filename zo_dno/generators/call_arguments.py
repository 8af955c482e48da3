"""Arguments of a pipeline's call as a config holds them: plain values, and files of images and embeddings."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from zo_dno.errors import InputError, given
from zo_dno.generators.load_failures import loading
from zo_dno.storage.images import UnreadableImageError, decoded

_OBJECT = "object"  # first word of a config's text for an object that it cannot hold


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return call arguments as a config can hold them; other objects as a text that tells them apart."""
    return {name: _plain(value) for name, value in arguments.items() if value is not None}


def opened(name: str, value: Any) -> Any:
    """Return the image or the embeddings of an argument that names a file; other values as they are.

    Raises:
        InputError: There is no such file, or it holds something else.
    """
    embeds = "embeds" in name
    if not isinstance(value, str | Path) or not (embeds or ("image" in name and "prompt" not in name)):
        return value
    if str(value).startswith(_OBJECT):
        raise InputError(
            f"{name} was given as a Python object, which no config can hold. Resume the run from Python, with the same "
            "generator: zo_dno.resume(run, generator=...)."
        )
    if embeds:
        return _embeddings(name, Path(value))
    try:
        return decoded(Path(value))
    except UnreadableImageError as error:
        raise InputError(f"{name} must be an image file; {value}: {error}.") from error


def _embeddings(name: str, path: Path) -> Tensor:
    """Return the tensor of a file that has the argument's name, or its only one."""
    from safetensors.torch import load_file

    with loading(name, path, "Give a file of safetensors, with a batch axis of 1."):
        tensors: dict[str, Tensor] = load_file(path)
    if name in tensors:
        return tensors[name]
    if len(tensors) != 1:
        raise InputError(
            f"{name} must be a file with a tensor of this name; {given(str(path))} has {', '.join(tensors)}."
        )
    return next(iter(tensors.values()))


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return list(value)
    if isinstance(value, Image.Image):
        value = np.asarray(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().float().numpy()
    content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return f"{_OBJECT} {type(value).__name__} {hashlib.sha256(content).hexdigest()[:16]}"
