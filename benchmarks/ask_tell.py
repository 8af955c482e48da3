"""The cost of a strategy itself: ask and tell against drawing the population, and memory in populations.

Every strategy runs in its own process, whose peak of resident memory is compared with that before the first `ask`.
"""

import argparse
import json
import multiprocessing
import time
from statistics import median
from typing import Any

from benchmarks import memory
from benchmarks.tables import show
from zo_dno.errors import InputError

LIBRARIES = {"nevergrad", "scipy", "cmaes", "cma_me"}  # which have no form for this size, or take minutes
WHITE_BOX = {"dno", "fast_direct", "hybrid1", "hybrid2", "parego", "robot", "surrogate"}
ALLOWED_TIME, ALLOWED_MEMORY = 3.0, 4.0


def measure(name: str, d: int, population: int, rounds: int) -> dict[str, Any]:
    """Measure one strategy."""
    import torch

    from zo_dno.run.make_strategy import find_strategy
    from zo_dno.strategy import Problem

    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    drawing = []
    for _ in range(3):
        started = time.perf_counter()
        torch.randn(population, d, generator=rng)
        drawing.append(time.perf_counter() - started)
    target, options = find_strategy(name, {"population": population})
    strategy = target(Problem(d, 1000 * population, 0, (d,)), **options)
    memory.reset_peak()
    before = memory.held()
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        candidates = strategy.ask()
        asked = time.perf_counter() - started
        scores = candidates.z[:, :1000].sum(1)
        started = time.perf_counter()
        strategy.tell(candidates, scores)
        taken.append(asked + time.perf_counter() - started)
        del candidates
    return {
        "strategy": name,
        "seconds": median(taken[1:]),
        "drawing": median(drawing),
        "populations": (memory.peak() - before) / (4 * population * d / 1e6),
    }


def main() -> None:
    from zo_dno.strategies import STRATEGIES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d", type=int, default=1_000_000)
    parser.add_argument("--population", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    names = [name for name in STRATEGIES if name not in LIBRARIES | WHITE_BOX]
    parser.add_argument("--strategies", nargs="+", default=names)
    options = parser.parse_args()
    context, found = multiprocessing.get_context("spawn"), []
    for name in options.strategies:
        with context.Pool(1) as pool:
            try:
                found.append(pool.apply(measure, (name, options.d, options.population, options.rounds)))
            except InputError as error:  # such as a model of the reward that serves few dimensions
                print(f"{name} is left out: {error}", flush=True)
                continue
        print(json.dumps(found[-1]), flush=True)
    rows = [[one["strategy"], one["seconds"], one["seconds"] / one["drawing"], one["populations"]] for one in found]
    show(
        f"d = {options.d:,}, population {options.population}, 1 thread; at most {ALLOWED_TIME:g} x drawing it, and "
        f"{ALLOWED_MEMORY:g} populations",
        ["strategy", "ask+tell s", "x torch.randn", "populations of memory"],
        rows,
        {one["strategy"]: [one["seconds"] / one["drawing"], one["populations"]] for one in found},
    )


if __name__ == "__main__":
    main()
