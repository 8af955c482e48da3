"""The space of some draws, such as the noise of some steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout
from zo_dno.spaces.space import SearchSpace


class Draws(SearchSpace):
    """Some of the searched draws, such as the noise of chosen steps; the others stay as they are in the start.

    Args:
        only: Numbers of the searched draws, 0 is the first (with `search` "all" the initial noise), -1 the last.
    """

    def __init__(self, noise: NoiseLayout, start: Tensor, seed: int, *, only: Sequence[int] = (0,)) -> None:
        n = len(noise.shapes)
        wrong = [number for number in only if not -n <= number < n]
        if wrong or not only:
            raise InputError(f"only must be numbers of the {n} draws, 0 to {n - 1} or -{n} to -1; got {list(only)}.")
        chosen = sorted({number % n for number in only})
        edges = [0, *torch.tensor(noise.sizes).cumsum(0).tolist()]
        self.sizes = tuple(noise.sizes[number] for number in chosen)
        self._places = torch.cat([torch.arange(edges[number], edges[number + 1]) for number in chosen])
        self._start, self.origin = start, start[self._places]

    def to_noise(self, y: Tensor) -> Tensor:
        return self._start.expand(len(y), -1).index_copy(1, self._places, y)
