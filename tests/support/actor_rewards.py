"""Rewards for real actors; their module imports next to nothing, so that each process is quick to load it."""

import asyncio
import os
import time

import numpy as np

import zo_dno


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def number_and_process(images):
    return [zo_dno.Score(float(np.asarray(image).flat[0]), raw=str(os.getpid())) for image in images]


class Process(zo_dno.Reward):
    """Scores an image by its own number; `raw` is the process."""

    name, unit = "process", "n"

    def __call__(self, images, prompts):
        return number_and_process(images)


class Together(Process):
    """Waits at its first call until calls have begun in `processes` processes."""

    def __init__(self, folder, processes):
        self.folder, self.processes = folder, processes

    def __call__(self, images, prompts):
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < self.processes:
            time.sleep(0.01)
        return number_and_process(images)


class Deadly(Process):
    """Ends its actor by `die` at its first call about image 1, and hangs at its first about image 2."""

    def __init__(self, folder, die):
        self.folder, self.die = folder, die

    def __call__(self, images, prompts):
        number = int(np.asarray(images[0]).flat[0])
        mark = self.folder / str(number)
        if number in (1, 2) and not mark.exists():
            mark.touch()
            if number == 1:
                self.die()
            time.sleep(3600)
        return super().__call__(images, prompts)


class Waiting(zo_dno.Reward):
    """Waits until `together` images are being scored at once."""

    name, unit, is_async = "waiting", "n", True

    def __init__(self, together):
        self.together, self.calls = together, 0

    async def __call__(self, images, prompts):
        self.calls += 1
        while self.calls < self.together:
            await asyncio.sleep(0.01)
        return number_and_process(images)


class Broken(Process):
    """Cannot be made in another process."""

    def __reduce__(self):
        return _fails, ()


def _fails():
    raise RuntimeError("no such model here")


class Fatal(Process):
    """Ends its process; with `only`, at that image alone."""

    def __init__(self, only=None):
        self.only = only

    def __call__(self, images, prompts):
        if self.only is None or int(np.asarray(images[0]).flat[0]) == self.only:
            os._exit(1)
        return super().__call__(images, prompts)


class Awaited(zo_dno.Reward):
    """Scores the brightness asynchronously."""

    name, unit, is_async = "awaited", "n", True

    async def __call__(self, images, prompts):
        return brightness(images, prompts)
