"""The space of the noise's lowest spatial frequencies."""

import math
from typing import Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.noise.space import NoiseLayout
from zo_dno.spaces.space import LinearSpace

Transform = Literal["dct", "haar"]


class LowBand(LinearSpace):
    """The lowest frequencies of every channel of every draw; the higher ones stay as they are in the start.

    They decide the layout of an image. A hard search there may make the spectrum less white, which the tests of
    plausibility detect.

    Args:
        dims: Number of coordinates, shared equally; a remainder is not used. 64 to 2,048 are usual.
        transform: Basis; "dct" has cosine modes by frequency, "haar" means of blocks on a grid of a power of two.
    """

    def __init__(
        self, noise: NoiseLayout, start: Tensor, seed: int, *, dims: int = 256, transform: Transform = "dct"
    ) -> None:
        if transform not in ("dct", "haar"):
            raise unknown_name("transform", transform, ("dct", "haar"))
        flat = [shape for shape in noise.shapes if len(shape) < 3]
        if flat:
            raise InputError(f"space low_band must have draws of channels x height x width; got {flat[0]}.")
        self._noise = noise
        rows = sum(math.prod(shape[:-2]) for shape in noise.shapes)
        each = dims // rows
        if each < 1 or dims > noise.d:
            raise InputError(f"dims must be between {rows}, one for each channel, and d = {noise.d}; got {dims}.")
        self._bases = [_basis(shape[-2], shape[-1], each, transform) for shape in noise.shapes]
        self._counts = [math.prod(shape[:-2]) for shape in noise.shapes]
        super().__init__(noise, start, sum(n * len(basis) for n, basis in zip(self._counts, self._bases, strict=True)))

    def coordinates(self, z: Tensor) -> Tensor:
        blocks = [
            draw.reshape(len(z), n, -1) @ basis.T
            for draw, n, basis in zip(self._noise.split(z), self._counts, self._bases, strict=True)
        ]
        return torch.cat([block.flatten(1) for block in blocks], 1)

    def spread(self, y: Tensor) -> Tensor:
        sizes = [n * len(basis) for n, basis in zip(self._counts, self._bases, strict=True)]
        blocks = [
            block.reshape(len(y), n, -1) @ basis
            for block, n, basis in zip(y.split(sizes, 1), self._counts, self._bases, strict=True)
        ]
        return torch.cat([block.flatten(1) for block in blocks], 1)


def _basis(height: int, width: int, count: int, transform: Transform) -> Tensor:
    """Return at most `count` orthonormal functions on a grid, (n, height * width), lowest first."""
    if transform == "haar":
        edge = 1
        while (2 * edge) ** 2 <= count and not height % (2 * edge) and not width % (2 * edge):
            edge *= 2
        tall, wide = (torch.eye(edge).repeat_interleave(size // edge, 1) for size in (height, width))
        found = torch.einsum("ih,jw->ijhw", tall, wide).flatten(2).flatten(0, 1)
        unit: Tensor = found / found.norm(dim=1, keepdim=True)
        return unit
    tall, wide = _cosines(height), _cosines(width)
    u, v = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    order = (u.square() + v.square()).flatten().argsort(stable=True)[:count]
    rows, columns = order // width, order % width
    return torch.einsum("nh,nw->nhw", tall[rows], wide[columns]).flatten(1)


def _cosines(size: int) -> Tensor:
    """Return the orthonormal DCT-II, (size, size), a mode a row."""
    k, x = torch.arange(size, dtype=torch.float64)[:, None], torch.arange(size, dtype=torch.float64) + 0.5
    modes = (math.pi / size * k * x).cos() * math.sqrt(2 / size)
    modes[0] /= math.sqrt(2)
    return modes.float()
