"""Every random number of a run: named streams derived from its one seed."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

_SEED_BITS = 63  # torch.Generator takes a signed 64-bit seed


def stream_seed(seed: int, *names: str | int) -> int:
    """Derive the seed of a named stream; other names or another seed give an unrelated one."""
    key = "/".join(map(str, (seed, *names))).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> (64 - _SEED_BITS)


def stream(seed: int, *names: str | int) -> "torch.Generator":
    """Make the CPU torch generator of a named stream."""
    import torch

    return torch.Generator().manual_seed(stream_seed(seed, *names))


def numpy_stream(seed: int, *names: str | int) -> "np.random.Generator":
    """Make the numpy generator of a named stream."""
    import numpy as np

    return np.random.default_rng(stream_seed(seed, *names))
