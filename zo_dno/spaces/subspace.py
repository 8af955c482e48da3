"""The space of random directions."""

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream
from zo_dno.spaces.space import LinearSpace

_MOST = 4e9  # bytes of a basis


class Subspace(LinearSpace):
    """A random subspace of uniform distribution; the directions outside of it stay as they are in the start.

    Args:
        dims: Dimensions of the subspace.
    """

    def __init__(self, noise: NoiseLayout, start: Tensor, seed: int, *, dims: int = 256) -> None:
        if 4 * dims * noise.d > _MOST:
            fits = int(_MOST / 4 / noise.d)
            raise InputError(
                f"dims must be at most {fits} at d = {noise.d}; got {dims}, whose basis takes "
                f"{4 * dims * noise.d / 1e9:.0f} GB. space=low_band needs none."
            )
        rng = stream(seed, "subspace")
        directions = torch.randn(noise.d, min(max(dims, 1), noise.d), generator=rng)
        self._basis: Tensor = torch.linalg.qr(directions).Q.T.contiguous()
        super().__init__(noise, start, dims)

    def coordinates(self, z: Tensor) -> Tensor:
        return z @ self._basis.T

    def spread(self, y: Tensor) -> Tensor:
        return y @ self._basis
