"""The measurement of the shipped quantiles."""

import json
import sys

import pytest

from zo_dno.noise import calibrate, calibration


@pytest.mark.parametrize(("k", "permutations"), [(4, 100), (8, 10)])
@pytest.mark.fast_cases(1)
def test_new_draws_agree_with_the_shipped_table(k, permutations):
    """At 5 %, 10 % and 50 % within 4 standard errors of the new draws: 1 in 5,000 by chance for the six together."""
    values = calibrate.measure(1024, 2000, k, seed=1)[permutations]
    found, errors = calibrate.quantiles(values)
    for level in ("5%", "10%", "50%"):
        assert found[level] == pytest.approx(calibration.quantile(k, permutations, level), abs=4 * errors[level])


def test_measuring_is_reproducible():
    first, second = (calibrate.measure(64, 50, 2, seed=1)[10] for _ in range(2))
    assert first.equal(second)


def test_command_prints_the_table_and_how_it_depends_on_d(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "argv", ["calibrate", "--d", "64", "--draws", "60", "--other-d", "32", "--other-draws", "40"]
    )
    calibrate.main()
    printed = capsys.readouterr().out
    table, end = json.JSONDecoder().raw_decode(printed)
    assert set(table["quantiles"]["16"]["100"]) == set(calibration.LEVELS)
    assert "log P at d = 32 (40 draws) minus d = 64 (60 draws)" in printed[end:]
