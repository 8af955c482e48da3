"""Remarks on a pipeline, each said once."""

import logging
import weakref
from typing import Any

log = logging.getLogger(__name__)
_said: "weakref.WeakKeyDictionary[Any, set[str]]" = weakref.WeakKeyDictionary()


def say(pipeline: Any, remark: str) -> None:
    """Log a remark on a pipeline as a warning, unless it was said of this pipeline before."""
    said = _said.setdefault(pipeline, set())
    if remark not in said:
        said.add(remark)
        log.warning("%s", remark)
