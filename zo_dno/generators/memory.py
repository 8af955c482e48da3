"""Errors of a device or machine whose memory runs out, with what helps against it."""

from collections.abc import Iterator
from contextlib import contextmanager

from zo_dno.errors import InputError
from zo_dno.types import batch_size_of

_LESS_MEMORY = "dtype=float16 or bfloat16, offload=model, vae_tiling, or a smaller size"


@contextmanager
def memory_named(generator: object) -> Iterator[None]:
    """Turn an error of memory inside the block into one that names a remedy.

    Raises:
        InputError: Memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        size = batch_size_of(generator)
        if size is not None and size > 1:
            remedy = f"Set a smaller batch_size than {size}, or 'auto'"
        else:
            remedy = f"One image at a time does not fit: try {_LESS_MEMORY}"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"memory does not suffice for batch_size {size}. {remedy}. The error: {reason}") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device or this machine has no memory left."""
    import torch

    words = ("not enough memory", "out of memory", "can't allocate memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
