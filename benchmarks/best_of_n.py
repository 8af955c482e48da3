"""Strategies against best-of-N at equal queries on the built-in model, seed by seed.

A seed's runs start from the same first image. Every winner has to be feasible at the 1 % level.
"""

import argparse
from statistics import fmean

import torch

import zo_dno
from benchmarks.tables import show
from zo_dno.generators.quiet import quiet_libraries
from zo_dno.strategies import DEFAULT_STRATEGY

PROMPT = "mountains at day, cloudy, with a house"


def best_reward(result: zo_dno.Result) -> float:
    """Return the winner's reward, NaN where it has none."""
    reward = result.best.reward
    return float("nan") if reward is None else reward


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strategies", nargs="+", default=[DEFAULT_STRATEGY])
    parser.add_argument("--reward", default="jpeg_smaller")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found: dict[str, list[float]] = {}
    rows = []
    with quiet_libraries():
        generator = zo_dno.DiffusersGenerator.builtin(options.prompt, model="scenes-64")
        for name in ["random_search", *options.strategies]:
            results = [
                zo_dno.optimize(generator, options.reward, name, queries=options.queries, seed=seed)
                for seed in range(options.seeds)
            ]
            found[name] = [best_reward(result) for result in results]
            wins = sum(ours > best for ours, best in zip(found[name], found["random_search"], strict=True))
            log_prob = min(result.best.log_prob for result in results)
            seconds = fmean(result.seconds["strategy"] for result in results)
            plausible = sum(result.best.plausible for result in results)
            rows.append([name, fmean(found[name]), wins, plausible, log_prob, seconds])
            print(f"{name}: {[round(value, 3) for value in found[name]]}", flush=True)
    show(
        f"{options.reward}, {options.queries} queries, {options.seeds} seeds, {options.prompt!r}",
        ["strategy", "mean best", f"beats best-of-{options.queries}", "feasible", "lowest log P", "ask+tell s"],
        rows,
        {"queries": options.queries, "best": found, "wins": {row[0]: row[2] for row in rows}},
    )


if __name__ == "__main__":
    main()
