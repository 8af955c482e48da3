"""What a pipeline gives instead of an image: numbers that are none, or no memory."""

import pytest
import torch

import zo_dno
from tests.support.zoo import families
from tests.support.zoo.schedulers import SCHEDULERS
from zo_dno.errors import InputError
from zo_dno.generators.batch_size import best_batch_size
from zo_dno.generators.diffusers_generator import DiffusersGenerator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'


def tiny(**options):
    pipeline = families.stable_diffusion(SCHEDULERS["DDIM"]("epsilon"))
    return pipeline, DiffusersGenerator(pipeline, "a cat", **{"steps": 2, "batch_size": 4, **options})


def overflowing(pipeline, limit):
    """Let the autoencoder of a pipeline overflow where the latents' first number is large, as in half precision."""
    decode = pipeline.vae.decode

    def decoded(latents, *args, **kwargs):
        found = decode(latents, *args, **kwargs)[0]
        wrong = latents.flatten(1)[:, 0] > limit
        return (torch.where(wrong[:, None, None, None], torch.nan, found),)

    pipeline.vae.decode = decoded


def test_candidates_whose_image_overflows_are_missing_and_the_others_are_scored():
    pipeline, generator = tiny()
    overflowing(pipeline, 0.0)
    result = zo_dno.optimize(generator, "brightness", "random_search", queries=24, strategy_options={"population": 8})
    missing = [query for query in result.history if query.value is None]
    assert 0 < len(missing) < 24
    assert result.failed_queries == len(missing)
    assert {query.error for query in missing} == {
        "it is not made of numbers (NaN): float32 overflows. Use dtype bfloat16 or float32"
    }


def test_a_pipeline_that_overflows_from_the_start_is_refused():
    pipeline, _ = tiny()
    overflowing(pipeline, -torch.inf)
    with pytest.raises(
        InputError, match=r"draws images that are not numbers \(NaN\) from plain Gaussian noise.*bfloat16"
    ):
        DiffusersGenerator(pipeline, "a cat", steps=2, batch_size=4)


def test_no_memory_for_even_one_image_is_one_line_with_what_helps():
    pipeline, generator = tiny(batch_size=1)

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


def test_a_batch_that_does_not_fit_is_backed_off_from():
    asked, clock = [], iter(range(100))

    def draw(n):
        asked.append(n)
        if n > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(n)

    assert best_batch_size(draw, lambda: float(next(clock))) == 4
    assert asked == [1, 1, 1, 2, 2, 4, 4, 8]


def test_what_a_gpu_does_once_for_each_new_shape_does_not_count():
    seen, now = set(), 0.0

    def draw(n):
        nonlocal now
        now += 1.0 if n in seen else 100.0 * n
        seen.add(n)
        return torch.zeros(n)

    assert best_batch_size(draw, lambda: now) == 16  # the most that is tried on a CPU
