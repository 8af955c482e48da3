"""Rewards that stand still in the middle of a run, where a test can kill it however slow or fast it is."""

import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

import zo_dno

RESULTS = "ZO_DNO_TEST_HELD_AFTER"
"""Environment variable: number of finished runs, a colon, and the folder of their comparison."""
_calls = count(1)


@dataclass(frozen=True)
class Held(zo_dno.Reward):
    """Mean grey level; after some calls in a process, it waits while a file exists.

    Args:
        hold: Path of the file.
        after: Number of calls.
    """

    name, unit = "held", "grey levels"
    hold: str
    after: int = 16

    def __call__(self, images, prompts):
        held = next(_calls) > self.after
        while held and Path(self.hold).exists():
            time.sleep(0.05)
        return [float(np.asarray(image).mean()) for image in images]


def brightness(images, prompts):
    """Mean grey level; where `RESULTS` says so, it waits once some runs of a comparison are finished."""
    enough, _, folder = os.environ.get(RESULTS, "").partition(":")
    while folder and len(list(Path(folder).glob("runs/*/result.json"))) >= int(enough):
        time.sleep(0.05)
    return [float(np.asarray(image).mean()) for image in images]
