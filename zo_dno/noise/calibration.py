"""Quantiles of the indicator log P(z) over true Gaussian draws: the shipped table, and how it is made.

`python -m zo_dno.noise.calibration --write` makes the table again, the same one up to rounding.
"""

import argparse
import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.rng import stream

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = {"0.1%": 0.001, "0.5%": 0.005, "1%": 0.01, "2%": 0.02, "5%": 0.05, "10%": 0.1, "50%": 0.5}
_KS = (2, 4, 8, 16)
_PERMUTATIONS = (0, 10, 100)
_BATCH = 2000  # draws that share one set of orders: many sets are averaged over

_Table = dict[str, dict[str, dict[str, float]]]  # k -> permutations -> level -> log P


def quantile(k: int, permutations: int, level: str) -> float:
    """Look up the log P that a share `level` of true Gaussian draws stays below.

    Args:
        k: length of the vectors whose moments are taken.
        permutations: random orders beside the given one.
        level: a share such as "1%", one of `LEVELS`.
    Raises:
        InputError: the table has no such k, permutations or level; nothing is interpolated.
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


def measure(d: int, draws: int, k: int, seed: int = 0) -> "dict[int, Tensor]":
    """Take log P of true draws, sorted upwards, for each number of permutations in the table."""
    import torch

    from zo_dno.noise.regularizer import GaussianProbability

    generator = stream(seed, "calibration", d, k)
    parts = []
    for start in range(0, draws, _BATCH):
        probability = GaussianProbability(d, k, max(_PERMUTATIONS), seed=start)
        z = torch.randn(min(_BATCH, draws - start), d, generator=generator)
        parts.append(probability.log_prob_by_order(z).cummin(1).values[:, list(_PERMUTATIONS)])
    values = torch.cat(parts).sort(dim=0).values
    return dict(zip(_PERMUTATIONS, values.T, strict=True))


def quantiles(values: "Tensor") -> tuple[dict[str, float], dict[str, float]]:
    """Read every level off sorted `values`, with the standard errors of an order statistic (binomial ranks)."""
    import torch

    found, errors = {}, {}
    for name, level in LEVELS.items():
        spread = (level * (1 - level) / len(values)) ** 0.5
        at = torch.tensor([level - spread, level, level + spread], dtype=torch.float64).clamp(0, 1)
        low, middle, high = torch.quantile(values.double(), at).tolist()
        found[name], errors[name] = round(middle, 4), round((high - low) / 2, 4)
    return found, errors


def table(d: int, draws: int) -> dict[str, Any]:
    """Measure the whole table at one d."""
    found: dict[str, dict[str, tuple[dict[str, float], dict[str, float]]]] = {
        str(k): {str(count): quantiles(values) for count, values in measure(d, draws, k).items()} for k in _KS
    }
    both = [{k: {count: pair[i] for count, pair in row.items()} for k, row in found.items()} for i in range(2)]
    return {"d": d, "draws": draws, "quantiles": both[0], "standard_errors": both[1]}


def _compare(shipped: dict[str, Any], other: dict[str, Any]) -> str:
    """Say per k and permutations how far two tables differ, in log P, with the standard error of the difference."""
    lines = [f"log P at d = {other['d']} ({other['draws']} draws) minus d = {shipped['d']} ({shipped['draws']} draws)"]
    for k, row in shipped["quantiles"].items():
        for count, levels in row.items():
            cells = []
            for level, value in levels.items():
                errors = [one["standard_errors"][k][count][level] for one in (shipped, other)]
                gap = other["quantiles"][k][count][level] - value
                cells.append(f"{level} {gap:+.3f} (se {sum(e * e for e in errors) ** 0.5:.3f})")
            lines.append(f"k = {k}, {count} permutations: " + ", ".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Measure the table, compare it with one at another d, print both, and write the first if asked to."""
    parser = argparse.ArgumentParser(description="Measure the quantiles of log P(z) over true Gaussian draws.")
    parser.add_argument("--d", type=int, default=1024)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--other-d", type=int, default=16_384)
    parser.add_argument("--other-draws", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help="replace the shipped table")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)  # small matrices: more threads are no faster, and far slower on a busy machine
    measured = table(options.d, options.draws)
    text = json.dumps(measured, indent=1) + "\n"
    print(text)
    if options.write:
        Path(__file__).with_name("calibration.json").write_text(text, encoding="utf-8")
    if options.other_draws:
        print(_compare(measured, table(options.other_d, options.other_draws)))


if __name__ == "__main__":
    main()
