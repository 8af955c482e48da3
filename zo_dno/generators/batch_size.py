"""Finding the batch size at which most images a second are drawn, and which fits into memory."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.memory import is_out_of_memory, memory_named

MOST_ON_A_GPU, MOST_ON_A_CPU = 64, 16
_WORTH = 1.05  # times as many images a second, for a batch twice as large


def checked_batch_size(batch_size: int | str) -> int | None:
    """Return a batch size, or None for "auto".

    Raises:
        InputError: it is neither.
    """
    if batch_size == "auto":
        return None
    if not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be at least 1, or 'auto'; got {batch_size!r}.")
    return batch_size


def best_batch_size(draw: Callable[[int], Tensor], seconds: Callable[[], float] = time.perf_counter) -> int:
    """Double the batch size for as long as it pays, and stop where memory does.

    The smaller of two sizes that are as fast is taken: strategies with small populations waste less of it. Every size
    is drawn twice, and the second time counts: at the first one a GPU's libraries look for the best kernels.

    Args:
        draw: draws so many images.
        seconds: clock.
    Raises:
        InputError: not even one image fits into memory.
    """
    with memory_named(None):
        on_gpu = draw(1).device.type != "cpu"
    best, best_rate, size = 1, 0.0, 1
    while size <= (MOST_ON_A_GPU if on_gpu else MOST_ON_A_CPU):
        try:
            draw(size).cpu()  # waits until they are there
            started = seconds()
            draw(size).cpu()
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
