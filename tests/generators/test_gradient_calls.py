"""Gradients through a pipeline of one small network: which calls they pass, what they keep, half precision."""

import pytest
import torch
from torch import nn

from tests.generators.test_gradients import held, noise, weights_of
from zo_dno.generators import gradients
from zo_dno.noise.space import NoiseLayout

CALLS = 4


class Calls:
    """A pipeline of one small network that is called four times."""

    layout = NoiseLayout(((1, 2, 4),))

    def __init__(self, gain=1.0, kind=torch.float32, **settings):
        rng = torch.Generator().manual_seed(1)
        self.network = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 8)).requires_grad_(False)
        for weight in self.network.parameters():
            weight.copy_(torch.randn(weight.shape, generator=rng) / 8)
        self.network.to(kind)
        self._gain, self._kind, self._gradients = gain, kind, gradients.Gradients(**settings)

    def render(self, z):
        call, x = self._gradients.around(CALLS)(self.network, True), self._gain * z.to(self._kind)
        for _ in range(CALLS):
            x = x + call(x)
        return x

    def vjp(self, z, cotangent):
        return self._gradients.vjp(z, self.render, cotangent, torch.device("cpu"))


def test_recomputing_a_network_gives_the_same_gradient_and_keeps_less():
    plain, recomputing = (Calls(checkpointing=value) for value in (False, True))
    assert held(recomputing) < 0.6 * held(plain)
    assert torch.equal(recomputing.vjp(noise(plain), weights_of), plain.vjp(noise(plain), weights_of))


def test_calls_before_the_last_are_constants():
    z = noise(Calls())
    before = Calls(calls=CALLS).vjp(z, weights_of)
    assert torch.equal(before, Calls().vjp(z, weights_of))
    network, x = Calls().network, z
    for _ in range(CALLS - 1):
        x = x + network(x)
    x = x.requires_grad_()
    last = x + network(x)
    (wanted,) = torch.autograd.grad((last * weights_of(last)).sum(), x)
    found = Calls(calls=1).vjp(z, weights_of)
    assert torch.allclose(found, wanted)
    assert not torch.allclose(found, before, rtol=1e-2)


@pytest.mark.parametrize("settings", [{"kind": torch.float16}, {"dtype": "float16"}], ids=["weights", "autocast"])
@pytest.mark.parametrize(("size", "gain"), [(1.0, 1.0), (1e-12, 1.0), (1e12, 1.0), (1.0, 100.0)])
def test_half_precision_comes_near_whatever_the_size_of_the_gradient(settings, size, gain):
    """Of numbers from 6e-8 to 65,504: the cotangent is scaled, again if the gradient overflows on its way."""

    def sized(images):
        return size * weights_of(images)

    z = noise(Calls()) / gain
    wanted, found = (Calls(gain, **one).vjp(z, sized) for one in ({}, settings))
    assert float((found - wanted).norm() / wanted.norm()) < 0.02
    assert not torch.equal(found, wanted)
