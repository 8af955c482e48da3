"""Fronts of several values per item, higher is better: dominance, and the hypervolume that a set dominates."""

from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def dominates(one: Matrix, other: Matrix) -> bool:
    """Return whether values (m,) are nowhere below others (m,), and above them somewhere."""
    return bool((one >= other).all() and (one > other).any())


def front_rows(values: Matrix) -> list[int]:
    """Return the rows of values (n, m) that no other row dominates; of equal rows, the first one.

    Rows with a missing value (NaN) are never among them.
    """
    known = [row for row in range(len(values)) if not np.isnan(values[row]).any()]
    order = sorted(known, key=lambda row: (tuple(-values[row]), row))  # nothing is dominated by a later one
    found: list[int] = []
    for row in order:
        kept = values[found]
        if not len(found) or not bool((kept >= values[row]).all(1).any()):
            found.append(row)
    return sorted(found)


def hypervolume(values: Matrix, reference: Matrix) -> float:
    """Return the volume between a reference point (m,) and everything that rows of values (n, m) dominate.

    Rows that are not above the reference point in every value add nothing (Zitzler and Thiele 1998). Exact; for more
    than two values by the exclusive volumes of While et al. (2012, WFG).
    """
    above = values[(values > reference).all(1)] - reference
    return _volume(above[front_rows(above)]) if len(above) else 0.0


def _volume(points: Matrix) -> float:
    """Return the volume between zero and points (n, m) of a front, all above zero."""
    if len(points) == 0:
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, 0], kind="stable")]
    if points.shape[1] == 2:
        widths, heights = points[:, 0], points[:, 1]
        steps = np.diff(np.maximum.accumulate(heights), prepend=0.0)
        return float((widths * steps).sum())
    total = 0.0
    for place, point in enumerate(points):
        limited = np.minimum(points[place + 1 :], point)
        total += float(point.prod()) - _volume(limited[front_rows(limited)])
    return total
