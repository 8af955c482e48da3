"""Quiet libraries: the remarks of diffusers, transformers, peft and stamina kept off the terminal."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = ("diffusers", "transformers")
_WARNING = "diffusers|transformers|torch|peft|huggingface_hub"  # modules whose warnings are for their own users
_ONLY_ERRORS = {
    "DIFFUSERS_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}
"""What the libraries read when they are imported."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what diffusers and transformers say about their own files, and stamina about every retry.

    Neither is imported for it, which takes seconds: a model that is a function may need none of them.
    """
    logging.getLogger("stamina").setLevel(logging.ERROR)
    set_here = {name: value for name, value in _ONLY_ERRORS.items() if name not in os.environ}
    os.environ.update(set_here)
    for library in _LIBRARIES:
        _silence(library)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=_WARNING)
            yield
    finally:
        for name in set_here:
            os.environ.pop(name, None)


def without_bars() -> None:
    """Hide the progress bars of diffusers, which has just been imported, where only its errors are wanted."""
    if os.environ.get("DIFFUSERS_VERBOSITY") == "error":
        _silence("diffusers")


def _silence(library: str) -> None:
    if (settings := sys.modules.get(f"{library}.utils.logging")) is not None:
        settings.set_verbosity_error()
        settings.disable_progress_bar()
