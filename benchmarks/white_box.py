"""DNO, Hybrid-1 and Hybrid-2 beside black-box strategies at equal queries, on the built-in model with few steps.

Every seed's runs start from the same first image. White-box strategies also pay for gradients: their seconds are shown.
"""

import argparse
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy import stats

import zo_dno
from benchmarks.tables import show
from zo_dno.generators.quiet import quiet_libraries

PROMPT = "sea at dusk, with a sailboat"
BUDGETS = (64, 256, 512)
BATCHES = {"dno": 1, "hybrid1": 8, "hybrid2": 8}  # their populations; the others' is 16
NO_GRADIENT = {"jpeg_smaller", "jpeg_larger"}


def curve(result: zo_dno.Result, budgets: tuple[int, ...]) -> list[float]:
    """Return the best reward that might win after each budget."""
    values = [query.value if query.is_feasible(constrained=True) else None for query in result.history]
    best = np.fmax.accumulate(np.array([np.nan if value is None else value for value in values], float))
    return [float(best[min(budget, len(best)) - 1]) for budget in budgets]


def interval(values: list[float]) -> str:
    """Write a mean with its 95 % interval over seeds (Student's t)."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0
    return f"{fmean(values):.3f} ± {half:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = ["random_search", "hill_climb", "zo_sgd", "snes", "hybrid1", "hybrid2", "dno"]
    parser.add_argument("--strategies", nargs="+", default=names)
    parser.add_argument("--rewards", nargs="+", default=["brightness", "jpeg_smaller"])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--queries", type=int, default=BUDGETS[-1], help="at most")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    budgets = tuple(budget for budget in BUDGETS if budget <= options.queries) or (options.queries,)
    for reward in options.rewards:
        rows: list[list[Any]] = []
        figures: dict[str, Any] = {}
        for name in options.strategies:
            if name == "dno" and reward in NO_GRADIENT:
                continue
            with quiet_libraries():
                generator = zo_dno.DiffusersGenerator.builtin(
                    PROMPT, model="scenes-64", steps=options.steps, batch_size=BATCHES.get(name, 16)
                )
                results = [
                    zo_dno.optimize(generator, reward, name, queries=budgets[-1], seed=seed)
                    for seed in range(options.seeds)
                ]
            curves = list(zip(*(curve(result, budgets) for result in results), strict=True))
            plausible = sum(result.best.plausible for result in results)
            lowest = min(result.best.log_prob for result in results)
            seconds = fmean(result.seconds["total"] for result in results)
            gradients = fmean(result.seconds["strategy"] for result in results)
            rows.append([name, *(interval(list(found)) for found in curves), plausible, lowest, seconds, gradients])
            figures[name] = {"best": [list(found) for found in curves], "seconds": seconds, "strategy": gradients}
            print(rows[-1], flush=True)
        show(
            f"{reward}, {options.steps} steps, {options.seeds} seeds, {PROMPT!r}",
            ["strategy", *(f"best of {budget}" for budget in budgets), "feasible", "lowest log P", "s", "strategy s"],
            rows,
            {"reward": reward, "budgets": budgets, "found": figures},
        )


if __name__ == "__main__":
    main()
