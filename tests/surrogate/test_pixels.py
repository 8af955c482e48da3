"""The features of pixels."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from tests.support.pictures import textures
from zo_dno.rng import stream
from zo_dno.surrogate.pixels import pixel_features, pixel_features_of


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (7, 13), (513, 300), (1, 4)])
def test_the_number_of_features_does_not_depend_on_the_size(shape):
    images = torch.rand(2, 3, *shape, generator=stream(0, "images"))
    found = pixel_features(images)
    assert found.shape == (2, 576)
    assert bool(found.isfinite().all())


def test_modes_are_those_of_the_discrete_cosine_transform():
    images = torch.rand(1, 3, 8, 8, generator=stream(1, "images"))
    light = (images[0] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0).numpy()
    expected = np.log(np.abs(dctn(light, norm="ortho")) + 1e-3).ravel()
    assert np.allclose(pixel_features(images)[0, 192:256].numpy(), expected, atol=1e-4)


def test_a_picture_in_bytes_has_counts_instead_of_soft_counts():
    (image,) = textures(1)
    hard = pixel_features_of(image)
    soft = pixel_features(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].numpy()
    counts = np.r_[256:320, 384:448, 512:576]
    others = np.setdiff1d(np.arange(576), counts)
    assert np.array_equal(hard[others], soft[others])
    assert np.allclose(hard[counts] * 4, np.round(hard[counts] * 4), atol=1e-5)  # of four blocks
    assert np.abs(hard[counts] - soft[counts]).mean() < 0.1


def test_features_have_the_gradient_of_their_differences():
    images = torch.rand(1, 3, 16, 16, generator=stream(2, "images"), dtype=torch.float64).requires_grad_()
    weights = torch.randn(576, generator=stream(3, "weights"))
    (gradient,) = torch.autograd.grad((pixel_features(images) @ weights).sum(), images)
    towards = torch.randn(images.shape, generator=stream(4, "towards"), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (pixel_features(images + sign * 1e-3 * towards) @ weights for sign in (1, -1))
    assert float((ahead - behind) / 2e-3) == pytest.approx(float((gradient * towards).sum()), rel=0.05)
