"""Importing diffusers, which takes seconds."""

import gc
from typing import Any

from zo_dno.generators.quiet import without_bars


def pipeline_class() -> Any:
    """Import diffusers and return its class that loads any pipeline; its bars are hidden where only errors are wanted.

    The garbage collector pauses: it would look again and again through all that an import leaves for good.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        from diffusers import DiffusionPipeline
    finally:
        if collecting:
            gc.enable()
    without_bars()
    return DiffusionPipeline
