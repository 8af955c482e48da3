"""Numpy's global random generator, lent to a library without being read or changed for anyone else."""

# ruff: noqa: NPY002, the legacy generator is the one that libraries read

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zo_dno.rng import numpy_stream

_LENT = threading.RLock()  # to one search at a time, whatever its thread


class OwnGlobalNumpy:
    """A state of numpy's global generator that is swapped in around every call of a library, and out again.

    Args:
        seed: of the run.

    Attributes:
        random_state: another generator of its own, for libraries that take one.
    """

    def __init__(self, seed: int) -> None:
        import numpy as np

        words = numpy_stream(seed, "strategy", "library").integers(2**32, size=8)
        self.random_state = np.random.RandomState(words[:4])
        self._state = np.random.RandomState(words[4:]).get_state()

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Make this state the global one inside the block; what was global comes back unchanged."""
        import numpy as np

        with _LENT:
            outside = np.random.get_state()
            np.random.set_state(self._state)
            try:
                yield
            finally:
                self._state = np.random.get_state()
                np.random.set_state(outside)
