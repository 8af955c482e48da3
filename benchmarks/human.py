"""A simulated rater on the real rating page against best-of-N with as many clicks, by the scene judge.

The rater likes warm skies, those that the judge takes for dawn or dusk, in a prompt that says day; one choice in ten is
another image. Best-of-N shows the same rater draws from the prior, in groups, and the winner of each group stays.
"""

import argparse
import logging
import threading
import time
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch
from PIL import Image

import zo_dno
from benchmarks.rater import SimulatedRater, knock_out
from benchmarks.tables import show
from zo_dno.generators.quiet import quiet_libraries
from zo_dno.rewards.human import Human
from zo_dno.rng import stream
from zo_dno.scenes.grammar import WORDS
from zo_dno.scenes.judge import Judge

PROMPT = "mountains at day"
FLIPPED = 0.1
_WARM = [WORDS["time"].index(word) for word in ("dawn", "dusk")]


def warmth(images: Sequence[Image.Image], judge: Judge) -> list[float]:
    """Log-odds of dawn or dusk, by the scene judge."""
    p = judge.probabilities(images)["time"][:, _WARM].sum(dim=1)
    return (p / (1 - p)).log().tolist()


def searched(
    generator: zo_dno.DiffusersGenerator, judge: Judge, queries: int, seed: int, **options: object
) -> tuple[float, int]:
    """Run a search with a simulated rater on its page. Returns (warmth of the winner, clicks)."""
    reward = Human(patience=0.0, repeats=0.0, duel=0, **options)  # type: ignore[arg-type]
    rater: list[SimulatedRater] = []

    def join_in() -> None:
        while not reward.link:
            time.sleep(0.05)
        rater.append(SimulatedRater(reward.link, lambda images: warmth(images, judge), flipped=FLIPPED, seed=seed))
        rater[0].start()

    threading.Thread(target=join_in, daemon=True).start()
    result = zo_dno.optimize(generator, reward, queries=queries, seed=seed)
    rater[0].stop()
    return warmth([result.best_image], judge)[0], rater[0].clicks


def best_of_n(
    generator: zo_dno.DiffusersGenerator, judge: Judge, clicks: int, seed: int, together: int
) -> tuple[float, int, int]:
    """Let the rater choose among as many prior draws as the clicks allow. Returns (warmth, clicks, N)."""
    n = 1 + clicks * (together - 1)
    z = torch.randn(n, generator.layout.d, generator=stream(seed, "best of n"))
    utilities = warmth([Image.fromarray(np.asarray(image)) for image in generator(z)], judge)
    place, used = knock_out(utilities, together, flipped=FLIPPED, seed=seed)
    return utilities[place], used, n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--queries", type=int, default=384)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["best", "compare"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logging.disable(logging.WARNING)  # the links
    rows, found, judge = [], {}, Judge.load()
    with quiet_libraries():
        generator = zo_dno.DiffusersGenerator.builtin(options.prompt, model="scenes-64")
        for mode in options.modes:
            together = {"best": 4, "compare": 2}[mode]
            pairs = []
            for seed in range(options.seeds):
                ours, clicks = searched(generator, judge, options.queries, seed, mode=mode)
                pairs.append((ours, clicks, *best_of_n(generator, judge, clicks, seed, together)))
                print(f"{mode}, seed {seed}: {pairs[-1]}", flush=True)
            ours, clicks, theirs, _, n = map(fmean, zip(*pairs, strict=True))
            wins = sum(pair[0] > pair[2] for pair in pairs)
            rows.append([mode, int(clicks), ours, int(n), theirs, f"{wins} of {len(pairs)}"])
            found[mode] = pairs
    show(
        f"{options.prompt!r}, {options.queries} images, {options.seeds} seeds, log-odds of dawn or dusk",
        ["mode", "clicks", "search", "N", "best-of-N", "search is warmer"],
        rows,
        {"queries": options.queries, "runs": found},
    )


if __name__ == "__main__":
    main()
