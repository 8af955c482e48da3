"""Renderers: noise that is added to images on the generator's device."""

import torch

from tests.support.toys import ToyGenerator
from zo_dno.generators import renderer
from zo_dno.generators.renderer import LocalRenderer


class OnAnotherDevice(ToyGenerator):
    """Renders floats on the meta device, which refuses to be mixed with the CPU as a GPU does."""

    def render(self, z):
        return torch.zeros(len(z), 3, 8, 8, device="meta")


def test_image_noise_is_added_on_the_device_of_the_images(monkeypatch):
    added = []

    def bytes_of(images):
        added.append(images)
        return torch.zeros(len(images), 8, 8, 3, dtype=torch.uint8)

    monkeypatch.setattr(renderer, "bytes_of", bytes_of)  # the meta device holds no numbers to round
    generator = OnAnotherDevice()
    block = LocalRenderer(generator).begin(torch.randn(2, generator.layout.d), torch.randn(2, 3, 8, 8))
    assert len(block.result()) == 2
    assert [images.device.type for images in added] == ["meta"]
