"""The layout of the searched noise, and moves that keep it Gaussian."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zo_dno.errors import InputError, given


@dataclass(frozen=True, slots=True)
class NoiseLayout:
    """The Gaussian draws that are searched; z concatenates them.

    Attributes:
        shapes: Shape of every draw without the batch axis, such as ((4, 64, 64),).
    """

    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of every draw."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def d(self) -> int:
        """Number of searched entries."""
        return sum(self.sizes)

    def check(self, z: Tensor) -> None:
        """Check that z is (n, d).

        Raises:
            InputError: z is no tensor (n, d), or it is empty.
        """
        if not isinstance(z, Tensor):
            raise InputError(
                f"z must be a tensor (n, {self.d}); got {given(z)}. torch.as_tensor makes one of an array."
            )
        if z.ndim != 2 or z.shape[1] != self.d or len(z) < 1:
            raise InputError(f"z must be (n, {self.d}); got {tuple(z.shape)}. One row is one candidate's noise.")

    def split(self, z: Tensor) -> list[Tensor]:
        """Cut z (n, d) into its draws, each (n, *shape).

        Raises:
            InputError: z is not (n, d).
        """
        self.check(z)
        draws = z.split(self.sizes, dim=1)
        return [draw.reshape(len(z), *shape) for draw, shape in zip(draws, self.shapes, strict=True)]

    def join(self, draws: Sequence[Tensor]) -> Tensor:
        """Concatenate draws, each (n, *shape), to z (n, d)."""
        return torch.cat([draw.reshape(len(draw), -1) for draw in draws], dim=1)


def retract(z: Tensor, sizes: Sequence[int]) -> Tensor:
    """Scale every draw in z (..., d) to the norm sqrt(size), where a Gaussian draw of that size lies."""
    draws = z.split(list(sizes), dim=-1)
    scaled = [draw * (math.sqrt(draw.shape[-1]) / draw.norm(dim=-1, keepdim=True).clamp_min(1e-12)) for draw in draws]
    return scaled[0] if len(scaled) == 1 else torch.cat(scaled, dim=-1)


def rotate(z: Tensor, noise: Tensor, step: float | Tensor) -> Tensor:
    """Move z towards fresh noise so that a Gaussian stays a Gaussian: sqrt(1 - step^2) z + step noise.

    This is the preconditioned Crank-Nicolson proposal; step 0 stays, step 1 forgets.
    """
    step = torch.as_tensor(step, dtype=z.dtype)
    return (1 - step * step).sqrt() * z + step * noise


def rotate_in_place(z: Tensor, noise: Tensor, step: float) -> None:
    """Replace z by the result of `rotate`, without further memory; this overwrites the noise too."""
    weight = torch.as_tensor(step, dtype=z.dtype)
    z.mul_((1 - weight * weight).sqrt()).add_(noise.mul_(weight))
