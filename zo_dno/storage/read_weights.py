"""Trained weights from files: complete, loaded once a process, and without running code in them."""

import json
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from zo_dno.errors import InputError
from zo_dno.failures import one_line

if TYPE_CHECKING:
    from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")


def read_tensors(option: str, file: Path) -> "dict[str, Tensor]":
    """Read a file's tensors by name, from safetensors or from a pickle that is restricted to tensors.

    Raises:
        InputError: The file cannot be read, or holds no tensors.
    """
    import torch
    from safetensors.torch import load_file

    with reading(option, file):
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        found = torch.load(file, map_location="cpu", weights_only=True)
        found = found.get("state_dict", found)  # checkpoints of a training hold more than weights
        return {name: tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}


def check_type(folder: Path, expected: str) -> None:
    """Refuse another type of model, whose missing weights transformers would initialise at random.

    Raises:
        ValueError: config.json names another type.
    """
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if found != expected:
        raise ValueError(f"it is a model of type {found!r}, not {expected!r}")


def load_whole(kind: Any, folder: Path | None, **options: Any) -> Any:
    """Load a transformers model, and refuse one with missing weights.

    Raises:
        ValueError: Weights are missing.
    """
    model, report = kind.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
    )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"{len(missing)} weights are missing, such as {missing[0]}")
    return model.eval().requires_grad_(False)


def usable_device(device: str | None) -> str:
    """Return the device to compute on.

    Raises:
        InputError: torch cannot compute there.
    """
    import torch

    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"device must be one that torch can use here; got {device!r}: {reason}") from error
    return device


@contextmanager
def reading(option: str, path: Path) -> Iterator[None]:
    """Turn any error into one line that names the unreadable weights, and keep transformers silent."""
    from transformers.utils import logging

    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except Exception as error:  # transformers, tokenizers, safetensors, pickle, json and torch each raise their own
        reason = textwrap.shorten(one_line(f"{type(error).__name__}: {error}"), 160, placeholder=" ...")
        raise InputError(f"{option} must be weights that can be read; got {path}: {reason}. Get them anew.") from error
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()


def read_once(load: Callable[P, T]) -> Callable[P, T]:
    """Cache what `load` returns for the process; concurrent threads wait for one call."""
    lock = threading.Lock()
    kept: Callable[P, T] = cache(load)  # type: ignore[assignment]  # all arguments are hashable

    @wraps(load)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        with lock:
            return kept(*args, **kwargs)

    return guarded
