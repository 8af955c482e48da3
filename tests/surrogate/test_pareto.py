"""Dominance and hypervolume against what counting points gives."""

import numpy as np
import pytest

from zo_dno.surrogate.pareto import dominates, front_rows, hypervolume


def test_the_front_is_what_no_row_dominates():
    values = np.random.default_rng(0).integers(0, 6, (60, 3)).astype(float)
    values[5, 1] = np.nan
    known = [row for row in range(60) if row != 5]
    found = front_rows(values)
    assert 5 not in found
    for row in known:
        beaten = any(dominates(values[other], values[row]) for other in known)
        earlier = any((values[other] == values[row]).all() for other in known if other < row)
        assert (row in found) == (not beaten and not earlier)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_the_hypervolume_is_the_share_of_points_that_are_dominated(m):
    rng = np.random.default_rng(m)
    values, points = rng.random((25, m)) ** 0.5, rng.random((40_000, m))
    share = (points[:, None] <= values[None]).all(2).any(1).mean()
    assert hypervolume(values, np.zeros(m)) == pytest.approx(share, abs=0.01)


def test_what_is_not_above_the_reference_adds_nothing():
    values = np.array([[2.0, 3.0], [-1.0, 50.0], [4.0, 0.0]])
    assert hypervolume(values, np.zeros(2)) == 6
    assert hypervolume(values + 7, np.full(2, 7.0)) == 6
    assert hypervolume(values[1:], np.zeros(2)) == 0
    assert hypervolume(np.empty((0, 2)), np.zeros(2)) == 0
