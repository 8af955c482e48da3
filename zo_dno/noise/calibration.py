"""Quantiles of the indicator log P(z) over true Gaussian draws: the shipped table."""

import json
from functools import cache
from importlib import resources
from typing import Any

from zo_dno.errors import InputError

LEVELS = {"0.1%": 0.001, "0.5%": 0.005, "1%": 0.01, "2%": 0.02, "5%": 0.05, "10%": 0.1, "50%": 0.5}

_Table = dict[str, dict[str, dict[str, float]]]  # k -> permutations -> level -> log P


def quantile(k: int, permutations: int, level: str) -> float:
    """Look up the log P that a share `level` of true Gaussian draws is below.

    Args:
        k: Length of the vectors whose moments are taken.
        permutations: Number of random orders, besides the given one.
        level: Share such as "1%", one of `LEVELS`.
    Raises:
        InputError: The table, which is not interpolated, has no such k, permutations or level.
    """
    table: _Table = _shipped()["quantiles"]
    for name, value, known in (
        ("k", str(k), table),
        ("permutations", str(permutations), table["4"]),
        ("level", level.replace(" ", ""), LEVELS),
    ):
        if value not in known:
            raise InputError(
                f"{name} must be one of {', '.join(known)} to set min_log_prob by a level; got {value}. "
                "The shipped table holds no others: give min_log_prob as a number instead."
            )
    return table[str(k)][str(permutations)][level.replace(" ", "")]


@cache
def _shipped() -> dict[str, Any]:
    text = resources.files("zo_dno.noise").joinpath("calibration.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]
