"""Quiet libraries: the remarks of diffusers, transformers and peft kept off the terminal and out of notebooks."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    """Silence what diffusers and transformers say about their own files.

    Neither is imported for it, which takes seconds: a model that is a function may need none of them.
    """
    set_here = {name: value for name, value in _ONLY_ERRORS.items() if name not in os.environ}
    os.environ.update(set_here)
    _silence(*_LIBRARIES)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module=_WARNING)
            yield
    finally:
        for name in set_here:
            os.environ.pop(name, None)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Silence diffusers and transformers while the built-in model is loaded in a program or a notebook.

    Its own settings then return. What the environment sets for a library, as inside of `quiet_libraries`, stays.
    """
    before = {library: (one.get_verbosity(), one.is_progress_bar_enabled()) for library, one in _settings().items()}
    set_here = [f"{library.upper()}_VERBOSITY" for library in _LIBRARIES if library not in before]
    set_here = [name for name in set_here if name not in os.environ]
    os.environ.update(dict.fromkeys(set_here, "error"))
    _silence(*_LIBRARIES)
    try:
        yield
    finally:
        for name in set_here:
            os.environ.pop(name, None)
        for library, one in _settings().items():
            if library in before or f"{library.upper()}_VERBOSITY" in set_here:
                level, bars = before.get(library, (logging.WARNING, True))  # those of a library that is imported later
                one.set_verbosity(level)
                (one.enable_progress_bar if bars else one.disable_progress_bar)()


def without_bars() -> None:
    """Hide the progress bars of libraries that have just been imported, where only their errors are wanted."""
    _silence(*(one for one in _LIBRARIES if os.environ.get(f"{one.upper()}_VERBOSITY") == "error"))


def _silence(*libraries: str) -> None:
    for library, settings in _settings().items():
        if library in libraries:
            settings.set_verbosity_error()
            settings.disable_progress_bar()


def _settings() -> dict[str, Any]:
    """Return the modules of the libraries' settings, of those that have been imported."""
    found = {library: sys.modules.get(f"{library}.utils.logging") for library in _LIBRARIES}
    return {library: module for library, module in found.items() if module is not None}
