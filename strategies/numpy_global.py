"""A state of numpy's global random generator for a library that uses it, hidden from all other code."""

# ruff: noqa: NPY002, the legacy generator is the one that libraries read

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zo_dno.rng import numpy_stream

_SWAPPED = threading.RLock()  # one search at a time swaps its state in, from any thread


class OwnGlobalNumpy:
    """A state of numpy's global generator that is swapped in around every call of a library, and out again.

    Args:
        seed: Seed of the run.
    Attributes:
        random_state: A second generator, for libraries that accept one.
    """

    def __init__(self, seed: int) -> None:
        import numpy as np

        words = numpy_stream(seed, "strategy", "library").integers(2**32, size=8)
        self.random_state = np.random.RandomState(words[:4])
        self._state = np.random.RandomState(words[4:]).get_state()

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Make this state the global one inside the block, and restore the previous one after it."""
        import numpy as np

        with _SWAPPED:
            outside = np.random.get_state()
            np.random.set_state(self._state)
            try:
                yield
            finally:
                self._state = np.random.get_state()
                np.random.set_state(outside)
