"""The space of rotations and shifts of the noise's channels."""

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout, retract
from zo_dno.rng import stream
from zo_dno.spaces.space import SearchSpace


class Channels(SearchSpace):
    """Rotations and shifts of the channels of the start: c (c - 1) / 2 + c coordinates (after Jajal et al. 2025).

    The c channels of every draw are multiplied by exp(scale (A - A0)), A antisymmetric, and c small numbers are added;
    the sum is put on the shell. A0 is a Gaussian draw, so that Gaussian coordinates are as good as any other. The paper
    (arXiv:2506.00299) takes the orthogonal factor of a c x c matrix, half of whose entries have no effect.

    Args:
        scale: Scale of the rotation.
        shift: Scale of the shift.
    """

    def __init__(
        self, noise: NoiseLayout, start: Tensor, seed: int, *, scale: float = 0.5, shift: float = 0.02
    ) -> None:
        counts = {shape[0] for shape in noise.shapes if len(shape) >= 2}
        if len(counts) != 1 or any(len(shape) < 2 for shape in noise.shapes):
            raise InputError(f"space channels must have draws with the same channels; got {noise.shapes}.")
        (self._c,) = counts
        self._noise, self._start, self._scale, self._shift = noise, start, scale, shift
        self._pairs = torch.triu_indices(self._c, self._c, 1)
        self.sizes = (self._pairs.shape[1] + self._c,)
        self.origin = torch.randn(self.k, generator=stream(seed, "channels"))

    def to_noise(self, y: Tensor) -> Tensor:
        moved = y - self.origin
        n = self._pairs.shape[1]
        turn = torch.zeros(len(y), self._c, self._c)
        turn[:, self._pairs[0], self._pairs[1]] = self._scale * moved[:, :n]
        q, shift = torch.linalg.matrix_exp(turn - turn.mT), moved[:, n:, None]
        draws = [draw.flatten(2) for draw in self._noise.split(self._start[None])]
        turned = [q @ draw + self._shift * shift for draw in draws]
        z = retract(torch.cat([draw.flatten(1) for draw in turned], 1), self._noise.sizes)
        same = (y == self.origin).all(1, keepdim=True)
        return self._start.where(same, z)
