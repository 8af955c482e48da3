"""A generator as white-box strategies see it: its latents."""

import pytest
import torch
from torch import Tensor

from tests.support.toys import ToyGenerator
from zo_dno.rewards.brightness import Brightness
from zo_dno.search.blocks import Blocks
from zo_dno.search.objective import Objective
from zo_dno.search.white_box import Opened


class Halves(ToyGenerator):
    """The toy with latents in half precision, whose calls are noted."""

    batch_size = 4

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    def latents(self, z: Tensor) -> Tensor:
        self.calls.append(len(z))
        return z.half().reshape(-1, 3, 4, 4).requires_grad_()


def test_latents_come_in_blocks_that_no_budget_ends_and_count_as_images() -> None:
    generator = Halves()
    blocks = Blocks(4, (3,))
    opened = Opened(generator, Brightness(), Objective(generator.layout), blocks)
    z = torch.randn(10, 48)
    latents = opened.latents(z)
    assert opened.has_latents
    assert generator.calls == [3, 3, 4]
    assert opened.images == 10
    assert (latents.shape, latents.dtype, latents.requires_grad) == ((10, 3, 4, 4), torch.float32, False)
    assert torch.allclose(latents.flatten(1), z, atol=1e-2)


@pytest.mark.parametrize(("generator", "has"), [(Halves(), True), (ToyGenerator(), False)])
def test_it_says_whether_there_are_latents(generator: ToyGenerator, has: bool) -> None:
    assert Opened(generator, Brightness(), Objective(generator.layout)).has_latents is has
