"""The shipped quantiles of log P(z)."""

import json
import sys

import pytest

from zo_dno.errors import InputError
from zo_dno.noise import calibration


@pytest.mark.parametrize("k", [2, 4, 8, 16])
@pytest.mark.parametrize("permutations", [0, 10, 100])
def test_every_level_is_shipped_and_they_rise(k, permutations):
    found = [calibration.quantile(k, permutations, level) for level in calibration.LEVELS]
    assert found == sorted(found)
    assert found[0] < -0.4
    assert found[-1] <= 0


def test_more_permutations_and_shorter_vectors_are_lower():
    assert calibration.quantile(4, 100, "1%") < calibration.quantile(4, 10, "1%") < calibration.quantile(4, 0, "1%")
    assert calibration.quantile(2, 100, "1%") < calibration.quantile(4, 100, "1%") < calibration.quantile(16, 100, "1%")


def test_spaces_in_a_level_do_not_matter():
    assert calibration.quantile(4, 100, " 1 % ") == calibration.quantile(4, 100, "1%")


@pytest.mark.parametrize(("k", "permutations"), [(4, 100), (8, 10)])
def test_new_draws_agree_with_the_shipped_table(k, permutations):
    """At 5 %, 10 % and 50 % within 4 standard errors of the new draws: 1 in 5,000 by chance for the six together."""
    values = calibration.measure(1024, 2000, k, seed=1)[permutations]
    found, errors = calibration.quantiles(values)
    for level in ("5%", "10%", "50%"):
        assert found[level] == pytest.approx(calibration.quantile(k, permutations, level), abs=4 * errors[level])


def test_measuring_is_reproducible():
    first, second = (calibration.measure(64, 50, 2, seed=1)[10] for _ in range(2))
    assert first.equal(second)


def test_command_prints_the_table_and_how_it_depends_on_d(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["calibration", "--d", "64", "--draws", "60", "--other-d", "32", "--other-draws", "40"]
    )
    calibration.main()
    printed = capsys.readouterr().out
    table, end = json.JSONDecoder().raw_decode(printed)
    assert set(table["quantiles"]["16"]["100"]) == set(calibration.LEVELS)
    assert "log P at d = 32 (40 draws) minus d = 64 (60 draws)" in printed[end:]


@pytest.mark.parametrize(
    ("k", "permutations", "level", "message"),
    [
        (3, 100, "1%", "k must be one of 2, 4, 8, 16 to set min_log_prob by a level; got 3"),
        (4, 50, "1%", "permutations must be one of 0, 10, 100 .*; got 50"),
        (4, 100, "3%", "level must be one of 0.1%, 0.5%, 1%, 2%, 5%, 10%, 50% .*; got 3%"),
        (4, 100, "-2.5", "level must be one of .*; got -2.5"),
    ],
)
def test_refuses_what_is_not_shipped(k, permutations, level, message):
    with pytest.raises(InputError, match=message):
        calibration.quantile(k, permutations, level)
