"""The environment of a run: library versions and the processor, which its numbers depend on."""

import importlib.metadata
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from zo_dno.version import __version__

_PACKAGES = ("torch", "diffusers", "numpy", "cma", "nevergrad", "pillow", "ray")


def versions() -> dict[str, str]:
    """Return the versions of zo-dno, Python and the libraries that a result depends on."""
    own = {"zo-dno": __version__, "python": platform.python_version()}
    return own | {name: _version(name) for name in _PACKAGES}


def environment() -> dict[str, str]:
    """Return the versions, the processor and the instructions that torch uses of it."""
    import torch

    return versions() | {"processor": _processor(), "instructions": torch.backends.cpu.get_cpu_capability()}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the differences, such as "torch: 2.13.0, now 2.14.0"."""
    names = sorted(old.keys() | new.keys())
    return [f"{name}: {old.get(name)}, now {new.get(name)}" for name in names if old.get(name) != new.get(name)]


_version = cache(importlib.metadata.version)  # which reads a file each time


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
