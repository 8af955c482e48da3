"""JSON that others wrote."""

import json
from typing import Any

LARGEST = 64 * 2**20  # bytes


def parse_json(content: bytes | str, *, largest: int = LARGEST) -> Any:
    """Read JSON whose writer is not trusted; NaN and Infinity are numbers, as in most writers.

    Raises:
        ValueError: It is no JSON, too large, or nested too deeply.
    """
    if len(content) > largest:
        raise ValueError(f"it has {len(content)} bytes, more than {largest}")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
