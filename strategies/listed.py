"""A given list of noise, scored as it is."""

from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem


class Listed(PopulationStrategy):
    """Have every noise of a list scored once, at any scores.

    Args:
        noise: Noise, (n, d), or a safetensors file that holds it as `z`.
    Raises:
        InputError: The noise does not have d entries a row.
    """

    def __init__(self, problem: Problem, *, noise: Any) -> None:
        z = noise if isinstance(noise, Tensor) else _read(noise)
        if z.ndim != 2 or z.shape[1] != problem.d or not len(z):
            raise InputError(f"noise must be (n, {problem.d}); got {tuple(z.shape)}. It was made for another model.")
        super().__init__(problem, population=len(z))
        self._listed = z.detach().to("cpu", torch.float32, copy=True)

    @property
    def n_prior(self) -> int:
        return 0

    def _sample(self) -> Tensor:
        return self._listed

    def _update(self, z: Tensor, scores: Tensor) -> None:
        """There is nothing to learn."""


def _read(path: Any) -> Tensor:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        z: Tensor = load_file(path)["z"]
    except (OSError, KeyError, SafetensorError, TypeError) as error:
        raise InputError(f"noise must be a safetensors file with z; got {path} ({error}).") from error
    return z
