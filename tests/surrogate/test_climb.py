"""The climb through a model."""

import math

import torch
from torch import Tensor

from zo_dno.noise.space import retract
from zo_dno.rng import stream
from zo_dno.surrogate.climb import climb, slope
from zo_dno.testing.search import FlatModel

Z = retract(torch.randn(4, 48, generator=stream(0, "z")), (48,))


def brightness(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3))


def test_every_candidate_gets_brighter_and_stays_on_the_shell():
    model = FlatModel()
    found = climb(Z, model, brightness, (48,), 10, 0.1)
    assert bool((brightness(model.render(found)) > brightness(model.render(Z)) + 0.05).all())
    assert torch.allclose(found.norm(dim=1), torch.full((4,), math.sqrt(48)), rtol=1e-5)


def test_every_draw_stays_on_its_own_shell_and_steps_are_as_long_as_asked_for():
    sizes = (16, 32)
    z = retract(Z, sizes)
    found = climb(z, FlatModel(), brightness, sizes, 1, 0.05)
    norms = [part.norm(dim=1) for part in found.split(sizes, 1)]
    for norm, size in zip(norms, sizes, strict=True):
        assert torch.allclose(norm, torch.full((4,), math.sqrt(size)), rtol=1e-5)
    assert torch.allclose((found - z).norm(dim=1), torch.full((4,), 0.05 * math.sqrt(48)), rtol=0.01)


def test_candidates_climb_apart_from_each_other():
    together = climb(Z, FlatModel(), brightness, (48,), 3, 0.1)
    assert torch.allclose(together[2:3], climb(Z[2:3], FlatModel(), brightness, (48,), 3, 0.1), atol=1e-5)


def test_a_gradient_that_is_not_a_number_moves_nothing():
    found = climb(Z, FlatModel(), lambda images: images.mean((1, 2, 3)) * torch.nan, (48,), 3, 0.1)
    assert torch.allclose(found, Z, atol=1e-5)


def test_the_slope_is_the_gradient_at_every_image():
    images = torch.rand(2, 3, 4, 4, generator=stream(1, "images"))
    assert torch.allclose(slope(brightness, images), torch.full_like(images, 1 / 48))
