"""The measurement of the shipped quantiles of log P(z).

`python -m zo_dno.noise.calibrate --write` measures the table again; the result is the same up to rounding.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zo_dno.noise.calibration import LEVELS
from zo_dno.noise.regularizer import GaussianProbability
from zo_dno.rng import stream

_KS = (2, 4, 8, 16)
_PERMUTATIONS = (0, 10, 100)
_BATCH = 2000  # draws that share one set of orders: the table averages over many sets


def measure(d: int, draws: int, k: int, seed: int = 0) -> dict[int, Tensor]:
    """Measure log P of true draws in ascending order, for each number of permutations in the table."""
    generator = stream(seed, "calibration", d, k)
    blocks = []
    for start in range(0, draws, _BATCH):
        probability = GaussianProbability(d, k, max(_PERMUTATIONS), seed=start)
        z = torch.randn(min(_BATCH, draws - start), d, generator=generator)
        blocks.append(probability.log_prob_by_order(z).cummin(1).values[:, list(_PERMUTATIONS)])
    values = torch.cat(blocks).sort(dim=0).values
    return dict(zip(_PERMUTATIONS, values.T, strict=True))


def quantiles(values: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Read every level off sorted `values`, with the standard errors of an order statistic (binomial ranks)."""
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
    """Describe the differences of two tables in log P, by k and permutations, with their standard errors."""
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
    """Measure the table, compare it with one at another d and print both; `--write` replaces the shipped table."""
    parser = argparse.ArgumentParser(description="Measure the quantiles of log P(z) over true Gaussian draws.")
    parser.add_argument("--d", type=int, default=1024)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--other-d", type=int, default=16_384)
    parser.add_argument("--other-draws", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help="replace the shipped table")
    options = parser.parse_args()
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
