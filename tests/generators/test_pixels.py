"""Candidates whose image is made of NaN: missing in a search, refused where all of them are."""

import pytest
import torch

import zo_dno
from tests.support.zoo import families
from tests.support.zoo.schedulers import SCHEDULERS
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'


def tiny():
    pipeline = families.stable_diffusion(SCHEDULERS["DDIM"]("epsilon"))
    return pipeline, DiffusersGenerator(pipeline, "a cat", steps=2, batch_size=4)


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
