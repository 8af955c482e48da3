"""The cost of a search beside its images: a run against a bare loop over the diffusers pipeline.

Both render as many images with the same batch size and steps in the same process, by turns; the median of the
repetitions counts. The search takes the default strategy, whose populations are smaller than the larger batches, and
again with populations of at least a batch: the difference is what small populations cost, not what a search costs.
"""

import argparse
import json
import time
from statistics import median
from typing import Any

import torch
from diffusers import DiffusionPipeline

import zo_dno
from benchmarks.tables import show
from zo_dno import scenes
from zo_dno.generators.quiet import quiet_libraries

PROMPT = "mountains at day, cloudy, with a house"
BATCH_SIZES = (4, 8, 16, 32)
ALLOWED = 1.05


def bare_loop(pipeline, images: int, batch_size: int) -> float:
    started = time.perf_counter()
    for _ in range(images // batch_size):
        pipeline(
            PROMPT,
            num_images_per_prompt=batch_size,
            num_inference_steps=scenes.DEFAULT_STEPS,
            guidance_scale=scenes.DEFAULT_GUIDANCE,
        )
    return time.perf_counter() - started


def search(generator: zo_dno.DiffusersGenerator, images: int, population: int = 0) -> tuple[float, float]:
    """Return the seconds of a search, and the share of its images that it rendered in vain.

    Args:
        generator: Generator of the images.
        images: Number of images.
        population: Candidates per population; 0 takes the strategy's own number.
    """
    started = time.perf_counter()
    result = zo_dno.optimize(
        generator, "jpeg_smaller", queries=images, strategy_options={"population": population} if population else {}
    )
    return time.perf_counter() - started, result.unused_share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512, help="a multiple of every batch size")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=BATCH_SIZES)
    options = parser.parse_args()
    torch.set_num_threads(2)
    rows, figures = [], {}
    with quiet_libraries():
        pipeline = DiffusionPipeline.from_pretrained(scenes.PIPELINE_FOLDER)
        pipeline.set_progress_bar_config(disable=True)
        for batch_size in options.batch_sizes:
            found = measure(pipeline, batch_size, options.images, options.repetitions)
            figures[str(batch_size)] = found
            rows.append([f"batches of {batch_size}", *(found[name] for name in COLUMNS)])
            print(json.dumps(rows[-1]), flush=True)
    show(
        f"{options.images} images, default strategy, JPEG reward, median of {options.repetitions}, 2 threads; "
        f"the ratio should be at most {ALLOWED}",
        ["", *(name.replace("_", " ") for name in COLUMNS)],
        rows,
        figures | {"holds": all(found["ratio"] <= ALLOWED for found in figures.values())},
    )


COLUMNS = ("bare_seconds", "run_seconds", "run_images_per_second", "ratio", "ratio_of_full_batches", "unused_share")


def measure(pipeline, batch_size: int, images: int, repetitions: int) -> dict[str, Any]:
    """Measure one batch size."""
    generator = zo_dno.DiffusersGenerator.builtin(PROMPT, model="scenes-64", batch_size=batch_size)
    bare_loop(pipeline, batch_size, batch_size)
    search(generator, batch_size)
    times, unused = [], 0.0
    for _ in range(repetitions):
        bare = bare_loop(pipeline, images, batch_size)
        whole, unused = search(generator, images)
        full, _ = search(generator, images, max(8, batch_size))
        times.append((bare, whole, full))
    bare, whole, _ = (median(column) for column in zip(*times, strict=True))
    return {
        "bare_seconds": bare,
        "run_seconds": whole,
        "run_images_per_second": images / whole,
        "ratio": median(whole / bare for bare, whole, _ in times),
        "ratio_of_full_batches": median(full / bare for bare, _, full in times),
        "unused_share": unused,
        "times": times,
    }


if __name__ == "__main__":
    main()
