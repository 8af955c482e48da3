"""A given list of noise, scored as it is."""

from pathlib import Path
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.storage.noise_files import checked_noise, load_noise
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem


class Listed(PopulationStrategy):
    """Have every noise of a list scored once, at any scores.

    Args:
        noise: Noise, (n, d), or a safetensors file that holds it as `z`.
    Raises:
        InputError: It is no noise, or does not have d entries a row.
    """

    def __init__(self, problem: Problem, *, noise: Any) -> None:
        z = checked_noise(noise, "noise", ndim=2) if isinstance(noise, Tensor) else load_noise(Path(str(noise)), ndim=2)
        if z.shape[1] != problem.d:
            raise InputError(f"noise must be (n, {problem.d}); got {tuple(z.shape)}. It was made for another model.")
        super().__init__(problem, population=len(z))
        self._listed = z.to("cpu", copy=True)

    @property
    def n_prior(self) -> int:
        return 0

    def _sample(self) -> Tensor:
        return self._listed

    def _update(self, z: Tensor, scores: Tensor) -> None:
        """There is nothing to learn."""
