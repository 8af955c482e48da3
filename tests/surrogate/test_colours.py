"""The features of colours."""

import numpy as np
import pytest
import torch

from zo_dno.rng import stream
from zo_dno.surrogate.colours import band_quantiles, colour_quantiles

IMAGES = torch.rand(2, 3, 32, 32, generator=stream(0, "images"))


@pytest.mark.parametrize("shape", [(64, 64), (7, 13), (513, 300), (1, 4)])
def test_the_number_of_features_does_not_depend_on_the_size(shape):
    images = torch.rand(2, 3, *shape, generator=stream(1, "images"))
    for describe, number in ((colour_quantiles, 20), (band_quantiles, 72)):
        found = describe(images)
        assert found.shape == (2, number)
        assert bool(found.isfinite().all())


def test_bands_have_the_quantiles_of_their_colours():
    found = band_quantiles(IMAGES)[1].reshape(3, 8, 3)
    for colour in range(3):
        for band in range(8):
            pixels = IMAGES[1, colour, 4 * band : 4 * band + 4].numpy()
            assert np.allclose(found[colour, band], np.quantile(pixels, (0.1, 0.5, 0.9)), atol=1e-6)


def test_colours_are_those_of_the_whole_image():
    light = (IMAGES[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    channels = [light, IMAGES[0].amax(0) - IMAGES[0].amin(0), IMAGES[0, 2] - light, IMAGES[0, 0] - light]
    expected = [np.quantile(channel.numpy(), (0.05, 0.25, 0.5, 0.75, 0.95)) for channel in channels]
    assert np.allclose(colour_quantiles(IMAGES)[0].reshape(4, 5), np.stack(expected), atol=1e-6)


def test_features_have_the_gradient_of_their_differences():
    towards = torch.randn(IMAGES[:1].shape, generator=stream(2, "towards"))
    for describe in (colour_quantiles, band_quantiles):
        images = IMAGES[:1].clone().requires_grad_()
        weights = torch.randn(describe(images).shape[1], generator=stream(3, "weights"))
        (gradient,) = torch.autograd.grad((describe(images) @ weights).sum(), images)
        with torch.no_grad():
            ahead, behind = (describe(images + sign * 1e-4 * towards) @ weights for sign in (1, -1))
        assert float((ahead - behind) / 2e-4) == pytest.approx(float((gradient * towards).sum()), rel=0.05)


def test_an_image_that_is_missing_has_no_features():
    images = IMAGES.clone()
    images[0] = torch.nan
    for describe in (colour_quantiles, band_quantiles):
        found = describe(images)
        assert not bool(found[0].isfinite().any())
        assert bool(found[1].isfinite().all())
