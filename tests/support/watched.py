"""A reward that waits for trouble; its module imports next to nothing, so that actors are quick to load it."""

import contextlib
import os
import signal
import time

import numpy as np

import zo_dno


def calls_in(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


class Watched(zo_dno.Reward):
    """Mean grey level; logs the process of each call, and from the fifth call on waits until the trouble is made.

    Args:
        folder: Folder of the log and of these files: `made`, once the trouble is made; `stop`, which lets one process
            stop in a call; `stopped`, once it does.
    """

    name, unit = "watched", "grey"

    def __init__(self, folder=None):
        self.folder = folder

    @property
    def settings(self):
        return {}

    def __call__(self, images, prompts):
        with (self.folder / "log").open("a") as log:
            log.write(f"call {os.getpid()}\n")
        while calls_in(self.folder / "log") >= 5 and not (self.folder / "made").exists():
            with contextlib.suppress(FileNotFoundError):
                (self.folder / "stop").unlink()
                (self.folder / "stopped").write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.02)
        return [float(np.asarray(image).mean()) for image in images]


class Timeless(Watched):
    """Mean grey level, without a log or a wait."""

    def __call__(self, images, prompts):
        return [float(np.asarray(image).mean()) for image in images]
