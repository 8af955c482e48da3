"""The climb through a model."""

import math

import torch
from torch import Tensor

from zo_dno.noise.space import retract
from zo_dno.rng import stream
from zo_dno.surrogate.climb import climb, slope
from zo_dno.testing.search import FlatModel

Z = retract(torch.randn(4, 48, generator=stream(0, "z")), (48,))


def on_the_shell(z: Tensor) -> Tensor:
    return retract(z, (48,))


def brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def test_every_candidate_gets_brighter_and_stays_on_the_shell():
    model = FlatModel()
    found = climb(Z, model, brightness, on_the_shell, 10, 0.1)
    assert bool((brightness(model.render(found)) > brightness(model.render(Z)) + 0.05).all())
    assert torch.allclose(found.norm(dim=1), torch.full((4,), math.sqrt(48)), rtol=1e-5)


def test_candidates_climb_apart_from_each_other():
    together = climb(Z, FlatModel(), brightness, on_the_shell, 3, 0.1)
    assert torch.allclose(together[2:3], climb(Z[2:3], FlatModel(), brightness, on_the_shell, 3, 0.1), atol=1e-5)


def test_a_gradient_that_is_not_a_number_moves_nothing():
    found = climb(Z, FlatModel(), lambda images: images.mean((1, 2, 3)) * torch.nan, on_the_shell, 3, 0.1)
    assert torch.allclose(found, Z, atol=1e-5)


def test_the_slope_is_the_gradient_at_every_image():
    images = torch.rand(2, 3, 4, 4, generator=stream(1, "images"))
    assert torch.allclose(slope(brightness, images), torch.full_like(images, 1 / 48))
