"""A reward whose module imports next to nothing; it says what the process that it is asked in has loaded."""

import sys
from pathlib import Path

import zo_dno


class Loaded(zo_dno.Reward):
    """MB of memory of this process, and whether it has loaded torch."""

    name, unit = "loaded", "MB"

    def __call__(self, images, prompts):
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return [zo_dno.Score(kilobytes / 1024, raw=str("torch" in sys.modules)) for _ in images]


def of_the_sea(images, prompts):
    """Score what was drawn for the sea, and nothing else."""
    return [
        float(image.getpixel((0, 0))[0]) if "sea" in prompt else float("nan")
        for image, prompt in zip(images, prompts, strict=True)
    ]
