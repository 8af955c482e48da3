"""JSON that others wrote."""

import json
import math
from typing import Any

LARGEST = 64 * 2**20  # bytes
DEEPEST = (
    100  # lists and objects inside each other; files of this package have at most 10, and recursive code bears 100
)

LONGEST_NUMBER = 300  # digits of a whole number, below the largest float


def parse_json(content: bytes | str, *, largest: int = LARGEST) -> Any:
    """Read JSON whose writer is not trusted; NaN and Infinity are numbers, as in most writers.

    Raises:
        ValueError: It is no JSON, too large, or nested too deeply.
    """
    if len(content) > largest:
        raise ValueError(f"it has {len(content)} bytes, more than {largest}")
    try:
        value = json.loads(content, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_nesting(value)
    return value


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"it has a number of {len(digits)} digits")
    return int(digits)


def check_nesting(value: Any, most: float = math.inf) -> None:
    """Check that a value has at most so many values in it, the keys of mappings included, and not too deep in it.

    Raises:
        ValueError: It has more, or deeper ones.
    """
    level, n = [value], 1
    for _ in range(DEEPEST + 1):
        level = [one for one in level if isinstance(one, dict | list | tuple)]
        if not level:
            return
        n += sum(len(one) * (1 + isinstance(one, dict)) for one in level)
        if n > most:
            raise ValueError(f"it has more than {most} values")
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    raise ValueError("it is nested too deeply")
