"""Best-of-N, measured and estimated."""

import math
from dataclasses import replace

import numpy as np
import pytest

from zo_dno.noise.plausibility import PlausibilityOfOne
from zo_dno.search.best_of_n import MIN_DRAWS, estimated, measured
from zo_dno.storage.rows import query_row
from zo_dno.types import Query, Response, Score


class Reward:
    name, version = "reward", "1"


def row(id_, value, plausible=True):
    tested = PlausibilityOfOne(-1.0, 1.0, 0.5, 0.0 if plausible else 1.0, plausible)
    query = Query(id_, np.zeros((1, 1, 3), np.uint8), "hash", "")
    return query_row("search", 0, Reward, tested, query, Response(Score(value)))


def test_the_measured_curve_is_the_best_feasible_reward_so_far():
    rows = [row(0, 9.0, plausible=False), row(1, 1.0), row(2, math.nan), row(3, 3.0), row(4, 2.0)]
    assert measured(rows, constrained=True).curve[1:] == (1, 1, 3, 3)
    assert math.isnan(measured(rows, constrained=True).curve[0])
    assert measured(rows, constrained=False).curve == (9,) * 5
    assert measured(rows[:1], constrained=True).reward is None
    assert measured([], constrained=True) is None


def test_the_estimate_is_the_expected_largest_of_n_normal_rewards():
    """The expected largest of 8 standard normal numbers is 1.4236."""
    values = np.array([-1.0, 1.0] * 4)
    found = estimated([row(i, float(value)) for i, value in enumerate(values)], 8)
    assert found.reward == pytest.approx(1.4236 * values.std(ddof=1), abs=0.02)
    assert (found.queries, found.measured) == (8, False)


def test_there_is_no_estimate_from_few_draws_or_with_violations():
    rows = [row(i, float(i)) for i in range(MIN_DRAWS)]
    assert estimated(rows[1:], 10) is None
    assert estimated([replace(rows[0], reward_violation=1.0), *rows], 10) is None
