"""The space spanned by good prior draws."""

import math
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout, retract
from zo_dno.spaces.space import SearchSpace


class Elites(SearchSpace):
    """Weighted sums of the best of some prior draws (as Willis et al. 2025, arXiv:2509.23800), put on the shell.

    A sum of independent Gaussians with weights of norm 1 is a Gaussian, so a search among few weights stays plausible.

    Args:
        dims: Number of draws that span the space.
        draws: Number of prior draws that are scored first to choose them; by default 4 times as many.
    """

    def __init__(
        self, noise: NoiseLayout, start: Tensor, seed: int, *, dims: int = 16, draws: int | None = None
    ) -> None:
        if not 2 <= dims <= noise.d:
            raise InputError(f"dims must be between 2 and d = {noise.d}; got {dims}.")
        self.warm_up = 4 * dims if draws is None else draws
        if self.warm_up < dims:
            raise InputError(f"draws must be at least dims = {dims}; got {draws}.")
        self.sizes, self._sizes = (dims,), noise.sizes
        self.origin = torch.zeros(dims)
        self.origin[0] = math.sqrt(dims)
        self._span = torch.empty(0, noise.d)

    def settle(self, z: Tensor, scores: Tensor) -> None:
        """Choose the best draws; those without a score come last."""
        order = scores.nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[: self.sizes[0]]
        self._span = z[order].clone()

    def to_noise(self, y: Tensor) -> Tensor:
        z = y @ self._span / math.sqrt(self.sizes[0])
        same = (y == self.origin).all(1, keepdim=True)
        return self._span[0].where(same, retract(z, self._sizes))

    def state_dict(self) -> dict[str, Any]:
        return {"span": self._span.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._span = state["span"].clone()
