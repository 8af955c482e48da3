"""The shipped quantiles of log P(z)."""

import pytest

from zo_dno.errors import InputError
from zo_dno.noise import calibration


@pytest.mark.parametrize("k", [2, 4, 8, 16])
@pytest.mark.parametrize("permutations", [0, 10, 100])
def test_every_level_is_shipped_in_ascending_order(k, permutations):
    found = [calibration.quantile(k, permutations, level) for level in calibration.LEVELS]
    assert found == sorted(found)
    assert found[0] < -0.4
    assert found[-1] <= 0


def test_more_permutations_and_shorter_vectors_are_lower():
    assert calibration.quantile(4, 100, "1%") < calibration.quantile(4, 10, "1%") < calibration.quantile(4, 0, "1%")
    assert calibration.quantile(2, 100, "1%") < calibration.quantile(4, 100, "1%") < calibration.quantile(16, 100, "1%")


def test_spaces_in_a_level_do_not_matter():
    assert calibration.quantile(4, 100, " 1 % ") == calibration.quantile(4, 100, "1%")


@pytest.mark.parametrize(
    ("k", "permutations", "level", "message"),
    [
        (3, 100, "1%", "k must be one of 2, 4, 8, 16 to set min_log_prob by a level; got 3"),
        (4, 50, "1%", "permutations must be one of 0, 10, 100 .*; got 50"),
        (4, 100, "3%", "level must be one of 0.1%, 0.5%, 1%, 2%, 5%, 10%, 50% .*; got 3%"),
        (4, 100, "-2.5", "level must be one of .*; got -2.5"),
    ],
)
def test_refuses_values_outside_the_table(k, permutations, level, message):
    with pytest.raises(InputError, match=message):
        calibration.quantile(k, permutations, level)
