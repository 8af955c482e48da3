"""JSON that others wrote."""

import json
from typing import Any

LARGEST = 64 * 2**20  # bytes
DEEPEST = (
    100  # lists and objects inside each other; files of this package have at most 10, and recursive code bears 100
)


def parse_json(content: bytes | str, *, largest: int = LARGEST) -> Any:
    """Read JSON whose writer is not trusted; NaN and Infinity are numbers, as in most writers.

    Raises:
        ValueError: It is no JSON, too large, or nested too deeply.
    """
    if len(content) > largest:
        raise ValueError(f"it has {len(content)} bytes, more than {largest}")
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    raise ValueError("it is nested too deeply")
