"""Ray actors: how throughput grows with their number, what a query costs beyond its reward, what stays in the driver.

The reward sleeps, as a reward does that waits for a GPU or another machine; actors take no CPUs.
"""

import argparse
import gc
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import zo_dno
from benchmarks.tables import show
from zo_dno.call_policy import CallPolicy
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import RewardActors, Takes
from zo_dno.generators.quiet import quiet_libraries
from zo_dno.noise.space import NoiseLayout
from zo_dno.oracle.oracle import Oracle
from zo_dno.storage.images import image_hash
from zo_dno.types import Query

SECONDS = 0.2
SIDE = 64
PROMPT = "mountains at day, cloudy, with a house"


class Sleeper(zo_dno.Reward):
    """Answers after a while."""

    name, unit = "sleeper", "points"

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        time.sleep(self.seconds)
        return [1.0 for _ in images]


class Instant:
    """A generator that costs nothing to speak of."""

    prompt, nfe, batch_size = "", 1, 16
    layout = NoiseLayout(((3, 8, 8),))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        small = (z.sigmoid() * 255).to(torch.uint8).reshape(-1, 8, 8, 3)
        return small.repeat_interleave(8, 1).repeat_interleave(8, 2)


def queries(n: int) -> list[Query]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    return [Query(row, image, image_hash(image), "") for row, image in enumerate(images)]


def throughput(actors: int, rounds: int) -> float:
    """Score `rounds` times as many images as there are actors; return scores per second."""
    reward = Sleeper()
    pool = RewardActors(reward, actors, takes=Takes(cpus=0))
    while pool.actors.alive < actors:
        time.sleep(0.1)
    oracle = Oracle(reward, CallPolicy(in_flight=actors), remote=pool)
    sent = queries(rounds * actors)
    started = time.perf_counter()
    responses = oracle.ask(sent)
    seconds = time.perf_counter() - started
    oracle.close()
    pool.close()
    assert all(response is not None and response.score.value == 1 for response in responses)
    return len(sent) / seconds


def scaling(most: int, rounds: int) -> None:
    """Show throughput against the ideal, and what a query takes beyond its reward."""
    rows: list[list[Any]] = []
    n = 1
    while n <= most:
        found, ideal = throughput(n, rounds), n / SECONDS
        rows.append([n, found, ideal, f"{found / ideal:.1%}", 1000 * (n / found - SECONDS)])
        n *= 2
    show(
        f"{SECONDS:g} s a query, {rounds} queries an actor",
        ["actors", "scores/s", "ideal", "share", "ms beyond the reward"],
        rows,
        {str(row[0]): [row[1] / row[2], row[4]] for row in rows},
    )


def memory(queries: int) -> None:
    """Show the driver's memory while a run sends more and more queries."""
    rows: list[list[object]] = []

    def on_step(step: object) -> None:
        done = step.queries  # type: ignore[attr-defined]
        if done % (queries // 10) < _POPULATION:
            gc.collect()
            rows.append([done, _megabytes()])

    zo_dno.optimize(
        *(Instant(), Sleeper(0), "random_search"),
        queries=queries,
        workers=2,
        worker_cpus=0,
        strategy_options={"population": _POPULATION},
        on_step=on_step,
    )
    grown = [row[1] for row in rows]
    per_query = (grown[-1] - grown[1]) / (rows[-1][0] - rows[1][0]) * 1000  # type: ignore[operator]
    show("memory of the driver", ["queries", "MB"], rows, {"rows": rows, "kB_per_query": per_query})


def utilisation(queries: int) -> None:
    """Show how busy one generator actor is with a reward that costs microseconds."""
    torch.set_num_threads(1)
    with quiet_libraries():
        pool = GeneratorPool(_model, 1, threads=2)
        rows = []
        for population in (16, 64):
            before, started = pool.actors.busy_seconds, time.perf_counter()
            options = {"population": population}
            zo_dno.optimize(pool, "jpeg_smaller", queries=queries, strategy_options=options, threads=1)
            seconds = time.perf_counter() - started
            busy = pool.actors.busy_seconds - before
            rows.append([population, min(1.0, busy / seconds), queries / seconds])
        pool.close()
    show(
        "one generator actor, built-in model, batches of 16, jpeg_smaller",
        ["population", "busy", "images/s"],
        rows,
        {str(row[0]): row[1] for row in rows},
    )


_POPULATION = 16


def _model() -> zo_dno.DiffusersGenerator:
    return zo_dno.DiffusersGenerator.builtin(PROMPT, model="scenes-64", batch_size=16)


def _megabytes() -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, default=64, help="most of them")
    parser.add_argument("--rounds", type=int, default=30, help="queries an actor")
    parser.add_argument("--queries", type=int, default=10_000, help="of the run whose memory is looked at")
    parser.add_argument("--images", type=int, default=512, help="of the run whose generator is looked at")
    options = parser.parse_args()
    utilisation(options.images)
    memory(options.queries)
    scaling(options.actors, options.rounds)


if __name__ == "__main__":
    main()
