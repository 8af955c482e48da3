"""The space of all searched noise."""

from torch import Tensor

from zo_dno.noise.space import NoiseLayout
from zo_dno.spaces.space import SearchSpace


class Whole(SearchSpace):
    """All of the searched noise."""

    def __init__(self, noise: NoiseLayout, start: Tensor, seed: int) -> None:
        self.sizes, self.origin = noise.sizes, start

    def to_noise(self, y: Tensor) -> Tensor:
        return y
