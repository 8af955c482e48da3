"""The slope of the regulariser."""

import torch

from zo_dno.strategies.slopes import slope_of


def test_the_slope_is_the_gradient_at_one_noise() -> None:
    z = torch.tensor([1.0, -2.0, 3.0])
    with torch.no_grad():
        slope = slope_of(lambda y: -y.square().sum(1), z)
    assert torch.equal(slope, -2 * z)
    assert not z.requires_grad
