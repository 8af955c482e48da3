"""The search for the batch size that renders most images a second and fits into memory."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.memory import is_out_of_memory, memory_named
from zo_dno.types import is_count

MOST_ON_A_GPU, MOST_ON_A_CPU = 64, 16
_WORTH = 1.05  # factor of images a second from which a batch twice as large is taken


def checked_batch_size(batch_size: int | str) -> int | None:
    """Return a batch size, or None for "auto".

    Raises:
        InputError: The value is neither a size nor "auto".
    """
    if batch_size == "auto":
        return None
    if not is_count(batch_size):
        raise InputError(f"batch_size must be at least 1, or 'auto'; got {batch_size!r}.")
    return int(batch_size)


def best_batch_size(render: Callable[[int], Tensor], seconds: Callable[[], float] = time.perf_counter) -> int:
    """Double the batch size while images a second rise and memory suffices.

    Of two sizes that are equally fast the smaller one is taken, of which small populations waste less. Every size is
    rendered twice, and the second time counts, since a GPU's libraries choose their kernels at the first one.

    Args:
        render: Function that renders a number of images.
        seconds: Clock.
    Raises:
        InputError: Not even one image fits into memory.
    """
    with memory_named(None):
        on_gpu = render(1).device.type != "cpu"
    best, best_rate, size = 1, 0.0, 1
    while size <= (MOST_ON_A_GPU if on_gpu else MOST_ON_A_CPU):
        try:
            render(size).cpu()  # waits until they are rendered
            started = seconds()
            render(size).cpu()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
            if on_gpu:
                torch.cuda.empty_cache()
            break
        rate = size / max(seconds() - started, 1e-9)
        if rate < best_rate * _WORTH:
            break
        best, best_rate, size = size, rate, size * 2
    return best
