"""Slow scores: what a lag does to the time of a run, and what it costs in reward.

The built-in model with 2 steps; `jpeg_smaller`, returned after a log-normal time: half of the scores come within
0.3 s, one in fifty takes more than 2.3 s. 32 calls may be in flight.
"""

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

import zo_dno
from benchmarks.strategies import TUNED
from benchmarks.tables import show
from zo_dno.rewards.jpeg import JPEGSmaller

MEDIAN, SPREAD, IN_FLIGHT, STEPS = 0.3, 1.0, 32, 2


class Slow(zo_dno.Reward):
    """Says the size of the image's file after a while."""

    name, unit, is_async = "slow_jpeg", "kB", True
    policy = zo_dno.CallPolicy(in_flight=IN_FLIGHT, timeout=120)

    def __init__(self, seed: int) -> None:
        self._rng, self._reward = np.random.default_rng(seed), JPEGSmaller()

    async def __call__(self, images: Sequence[Image], prompts: Sequence[str]) -> Any:
        await asyncio.sleep(MEDIAN * math.exp(SPREAD * self._rng.normal()))
        return self._reward(images, prompts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lags", type=int, nargs="+", default=[0, 1, 3])
    parser.add_argument("--strategies", nargs="+", default=["auto", "snes", "random_search"])
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = zo_dno.DiffusersGenerator.builtin(TUNED[0], model="scenes-64", steps=STEPS)
    rows = []
    for strategy in options.strategies:
        for lag in options.lags:
            best, seconds = [], []
            for seed in range(options.seeds):
                started = time.perf_counter()
                result = zo_dno.optimize(
                    generator, Slow(seed), strategy, queries=options.queries, seed=seed, lag=lag, threads=1
                )
                seconds.append(time.perf_counter() - started)
                best.append(result.best.reward)
            mean, error = float(np.mean(best)), float(np.std(best, ddof=1)) / math.sqrt(len(best))
            rows.append(
                [strategy, lag, float(np.mean(seconds)), options.queries / float(np.mean(seconds)), mean, error]
            )
            print(*rows[-1], flush=True)
    columns = ["strategy", "lag", "seconds", "queries/s", "best (kB)", "standard error"]
    show(f"{options.queries} queries, {options.seeds} seeds", columns, rows, {"rows": rows})


if __name__ == "__main__":
    main()
