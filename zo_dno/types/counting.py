"""Whole numbers, and ranges that are split."""

import itertools
import numbers
from collections.abc import Sequence


def is_count(value: object) -> bool:
    """Return whether a value is a whole number of at least 1."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= 1


def slices(total: int, size: int) -> Sequence[slice]:
    """Split range(total) into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def balanced_slices(total: int, most: int) -> Sequence[slice]:
    """Split range(total) into as few consecutive slices of at most `most` as possible, of nearly equal length."""
    count = -(-total // most)
    edges = [total * place // count for place in range(count + 1)] if count else []
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
