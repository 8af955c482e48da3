"""Generators that take microseconds: images whose brightness and texture follow the noise smoothly."""

import torch
from torch import Tensor

from zo_dno.generators.pixels import vjp_of
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream


class ToyGenerator:
    """Draws 8x8 images as a squashed random linear map of z, the same for every prompt."""

    model = "toy"
    nfe = 2

    def __init__(self, d: int = 48, prompt: str = "a toy") -> None:
        self.prompt = prompt
        self.layout = NoiseLayout(((3, 4, d // 12),))
        self._map = torch.randn(d, 8 * 8 * 3, generator=stream(7, "toy")) / d**0.5
        self._map[:, :] += torch.randn(d, 1, generator=stream(8, "toy")) / d**0.5

    def __call__(self, z: Tensor) -> Tensor:
        return (torch.sigmoid(z @ self._map) * 255).round().to(torch.uint8).reshape(-1, 8, 8, 3)


class SmoothToy(ToyGenerator):
    """The toy with gradients."""

    def render(self, z):
        return (z @ self._map).sigmoid().reshape(-1, 8, 8, 3).permute(0, 3, 1, 2)

    def vjp(self, z, cotangent):
        class Rendered:
            render = self.render

        return vjp_of(Rendered(), z, cotangent)


def prompted(z: Tensor, prompt: str) -> Tensor:
    """Render the toy's images, shifted by what the prompt's letters decide."""
    shift = torch.randn(z.shape[1], generator=stream(sum(map(ord, prompt)), "toy prompt"))
    return ToyGenerator(z.shape[1])(z + shift)


prompted.shape = (3, 4, 4)  # type: ignore[attr-defined]
