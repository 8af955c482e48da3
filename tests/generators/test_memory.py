"""Memory that runs out: one line that says what helps."""

import pytest
import torch

from tests.support.zoo import families
from tests.support.zoo.schedulers import SCHEDULERS
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'


def test_no_memory_for_even_one_image_is_one_line_with_what_helps():
    pipeline = families.stable_diffusion(SCHEDULERS["DDIM"]("epsilon"))
    generator = DiffusersGenerator(pipeline, "a cat", steps=2, batch_size=1)

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.\nGPU 0 has 8 GiB")

    pipeline.unet.forward = full
    with pytest.raises(
        InputError, match=r"memory does not suffice for batch_size 1\. One image at a time does not fit"
    ):
        generator(torch.randn(2, generator.layout.d))
    with pytest.raises(
        InputError, match=r"memory does not suffice.*offload=model, vae_tiling.*Tried to allocate 9.00 GiB\.$"
    ):
        DiffusersGenerator(pipeline, "a cat", steps=2, batch_size=1)
