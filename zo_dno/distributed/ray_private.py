"""Private APIs of Ray that have no public equivalent."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

LATE = "timed out during startup"
"""What Ray says of a node of its own after 30 s, a limit that it has no option for."""


def listen_on_loopback() -> None:
    """Let a Ray that is imported already, such as for Ray Serve, listen on 127.0.0.1 alone.

    Ray reads `RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER` only at its import.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = False


@contextmanager
def without_sigterm_handler() -> Iterator[None]:
    """Keep Ray from taking SIGTERM for itself while it starts, which ends a process with exit code 15."""
    from ray._private import utils

    taking = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        utils.set_sigterm_handler = taking


def nevergrad_search(optimizer: Any, seed: int) -> Any:
    """Return Ray Tune's search by a nevergrad optimizer, seeded; Ray's own draws from numpy's global generator."""
    from ray.tune.search.nevergrad import NevergradSearch

    class Seeded(NevergradSearch):  # type: ignore[misc]
        def _setup_nevergrad(self) -> None:
            super()._setup_nevergrad()
            made: Any = self._nevergrad_opt
            made.parametrization.random_state = np.random.RandomState(seed)

    return Seeded(optimizer=optimizer)
