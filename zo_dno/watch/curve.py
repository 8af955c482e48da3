"""The curve of a run's rewards over its queries, as the coordinates of an inline SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zo_dno.storage.ledger import QueryRow

_WIDTH, _HEIGHT, _MARGIN = 1000.0, 300.0, 10.0  # the drawing stretches to the page; only its proportions count
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Curve:
    """Coordinates in a box of 1000 x 300, and the numbers at its edges.

    Attributes:
        best: Steps of the best feasible reward so far, as an SVG path; empty while there is none.
        feasible: Points of feasible candidates, as an SVG path of dots.
        infeasible: Points of the others that have a score.
        first: Height of the first candidate's reward; None while it has none.
        low: Lowest reward.
        high: Highest reward.
        queries: Number of queries at the right edge.
    """

    best: str
    feasible: str
    infeasible: str
    first: float | None
    low: float
    high: float
    queries: int


def curve_of(history: Sequence[QueryRow], planned: int, *, constrained: bool) -> Curve | None:
    """Return the curve of completed queries, in the order of their ids; None while no query has a score.

    Args:
        history: Completed queries of the search.
        planned: Number of queries in the budget.
        constrained: Whether a winner must be plausible.
    """
    scored = [(i, row, row.value) for i, row in enumerate(history) if row.value is not None]
    values = [value for _, _, value in scored if math.isfinite(value)]
    if not values:
        return None
    low, high, queries = min(values), max(values), max(planned, len(history))

    def x(query: int) -> float:
        return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * query / max(1, queries - 1), 1)

    def y(value: float) -> float:
        part = 0.5 if high == low else (value - low) / (high - low)
        return round(_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * part, 1)

    best, steps = -math.inf, ""
    dots = {True: "", False: ""}
    every = math.ceil(len(scored) / _MOST_POINTS)
    for place, (i, row, value) in enumerate(scored):
        if not math.isfinite(value):
            continue
        feasible = row.is_feasible(constrained=constrained)
        if feasible and value > best:
            steps += f"H{x(i)}V{y(value)}" if steps else f"M{x(i)} {y(value)}"
            best = value
        if place % every == 0 or place == len(scored) - 1:
            dots[feasible] += f"M{x(i)} {y(value)}h0"
    if steps:
        steps += f"H{x(len(history) - 1)}"
    first = next((y(value) for _, row, value in scored if row.id == 0 and math.isfinite(value)), None)
    return Curve(steps, dots[True], dots[False], first, low, high, queries)
