"""The cost of a search beside its images: a run against a bare loop over the diffusers pipeline.

Both render as many images with the same batch size and steps in the same process, by turns; the median of the
repetitions counts.
"""

import argparse
import time
from statistics import median

import torch
from diffusers import DiffusionPipeline

import zo_dno
from benchmarks.tables import show
from zo_dno import scenes
from zo_dno.generators.quiet import quiet_libraries

PROMPT = "mountains at day, cloudy, with a house"
BATCH_SIZE = 16
ALLOWED = 1.10


def bare_loop(pipeline, images: int) -> float:
    started = time.perf_counter()
    for _ in range(images // BATCH_SIZE):
        pipeline(
            PROMPT,
            num_images_per_prompt=BATCH_SIZE,
            num_inference_steps=scenes.DEFAULT_STEPS,
            guidance_scale=scenes.DEFAULT_GUIDANCE,
        )
    return time.perf_counter() - started


def search(generator: zo_dno.DiffusersGenerator, images: int) -> float:
    started = time.perf_counter()
    zo_dno.optimize(generator, "jpeg_smaller", queries=images)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512, help="a multiple of 16")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(2)
    with quiet_libraries():
        pipeline = DiffusionPipeline.from_pretrained(scenes.PIPELINE_FOLDER)
        pipeline.set_progress_bar_config(disable=True)
        generator = zo_dno.DiffusersGenerator.builtin(PROMPT, batch_size=BATCH_SIZE)
        bare_loop(pipeline, BATCH_SIZE)
        search(generator, BATCH_SIZE)
        pairs = [
            (bare_loop(pipeline, options.images), search(generator, options.images)) for _ in range(options.repetitions)
        ]
    bare, whole = (median(times) for times in zip(*pairs, strict=True))
    ratio = whole / bare
    show(
        f"{options.images} images, batches of {BATCH_SIZE}, median of {options.repetitions}, 2 threads",
        ["", "seconds", "images/s"],
        [
            ["bare diffusers loop", bare, options.images / bare],
            ["zo-dno run, JPEG reward", whole, options.images / whole],
            [f"ratio (at most {ALLOWED})", ratio, ""],
        ],
        {"bare_seconds": bare, "run_seconds": whole, "ratio": ratio, "pairs": pairs, "holds": ratio <= ALLOWED},
    )


if __name__ == "__main__":
    main()
