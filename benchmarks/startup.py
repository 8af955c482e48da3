"""The cost of a command beside its images, as whole processes: `zo-dno run` against plain diffusers.

Both start Python, load the built-in model and render as many images with one thread, by turns; the median of the
repetitions counts. The seconds to the first text are those on a pseudo-terminal.
"""

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.tables import show

PROMPT = "mountains at day, cloudy, with a house"
BATCH_SIZE = 8
MORE, SOON = 1.5, 1.0
"""Seconds that a command may take longer than plain diffusers, and within which it must say something."""

_PLAIN = """
import sys
import torch
from diffusers import StableDiffusionPipeline
torch.set_num_threads(1)
pipeline = StableDiffusionPipeline.from_pretrained(sys.argv[1])
pipeline.set_progress_bar_config(disable=True)
for number in range(int(sys.argv[3])):
    images = pipeline(sys.argv[2], num_images_per_prompt=8, num_inference_steps=8, guidance_scale=1.0).images
    for row, image in enumerate(images):
        image.save(f"{sys.argv[4]}/{8 * number + row}.png")
"""


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def seconds_to_text(command: list[str]) -> float:
    """Return when a command first shows a visible character on a terminal, and wait for its end."""
    screen, other = pty.openpty()
    started, first = time.perf_counter(), float("inf")
    with subprocess.Popen(command, stdin=other, stdout=other, stderr=other) as process:
        os.close(other)
        while True:
            try:
                output = os.read(screen, 4096)
            except OSError:  # the other end is closed
                break
            if output.strip() and first == float("inf"):
                first = time.perf_counter() - started
        process.wait()
    os.close(screen)
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=32, help=f"a multiple of {BATCH_SIZE}")
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it the package is compiled each time, and diffusers is not
    from zo_dno import scenes

    pairs, texts = [], []
    with tempfile.TemporaryDirectory() as folder:
        plain = [sys.executable, "-c", _PLAIN, str(scenes.PIPELINE_FOLDER), PROMPT]
        plain += [str(options.images // BATCH_SIZE), folder]
        run = [
            sys.executable,
            "-m",
            "zo_dno",
            "run",
            "--model",
            "scenes-64",
            "--prompt",
            PROMPT,
            "--queries",
            str(options.images),
        ]
        for number in range(options.repetitions + 1):  # the first fills the disk's cache
            out = ["--threads", "1", "--batch-size", str(BATCH_SIZE), "--out", str(Path(folder) / f"run-{number}")]
            pair = (seconds(plain), seconds(run + out))
            text = seconds_to_text([*run, *out[:-1], str(Path(folder) / f"shown-{number}")])
            if number:
                pairs.append(pair)
                texts.append(text)
    bare, whole, text = *(median(times) for times in zip(*pairs, strict=True)), median(texts)
    more = median(run - plain for plain, run in pairs)
    show(
        f"{options.images} images, batches of {BATCH_SIZE}, 1 thread, whole processes, median of {options.repetitions}",
        ["", "seconds"],
        [
            ["plain diffusers", bare],
            ["zo-dno run, JPEG reward", whole],
            [f"more (at most {MORE})", more],
            [f"zo-dno run, first text (at most {SOON})", text],
        ],
        {"plain_seconds": bare, "run_seconds": whole, "more": more, "first_text": text, "pairs": pairs, "texts": texts},
    )


if __name__ == "__main__":
    main()
