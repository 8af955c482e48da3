"""The number of processors."""

import os


def processors() -> int:
    """Return the number of processors that this process may use; on macOS, that of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
