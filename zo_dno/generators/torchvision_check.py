"""A torchvision that does not fit this torch: hidden from the libraries, which then do without it."""

import importlib
import importlib.metadata
import importlib.util
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from zo_dno.failures import one_line

_NAME = "torchvision"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why torchvision cannot be imported, and what helps."""

    reason: str
    remedy: str


@cache
def torchvision_trouble() -> Trouble | None:
    """Return why an installed torchvision cannot be imported; None if it can, or is not installed."""
    if _NAME in sys.modules or importlib.util.find_spec(_NAME) is None:
        return None
    try:
        importlib.import_module(_NAME)
    except Exception as error:  # its compiled part fails in many ways where it was built for another torch
        return Trouble(
            f"torchvision {_version(_NAME)} does not fit torch {_version('torch')} "
            f"({one_line(str(error) or type(error).__name__, 200)})",
            "Install the torchvision that was built for this torch, from the same index, or uninstall it "
            "(pip uninstall torchvision): most pipelines do without.",
        )
    return None


@contextmanager
def without_broken_torchvision() -> Iterator[None]:
    """Hide a torchvision that cannot be imported inside the block, in which diffusers and transformers look for it.

    They take the one that is installed for one that works, and fail with a traceback, also where nothing needs it.
    """
    trouble = torchvision_trouble()
    if trouble is None or _NAME in sys.modules:
        yield
        return
    _warn_once()
    sys.modules[_NAME] = None  # type: ignore[assignment]  # Python's own mark of a module that is not to be found
    try:
        yield
    finally:
        sys.modules.pop(_NAME, None)


@cache
def _warn_once() -> None:
    trouble = torchvision_trouble()
    assert trouble is not None
    log.warning("%s; models are loaded without it. %s", trouble.reason, trouble.remedy)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
