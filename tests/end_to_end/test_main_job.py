"""The main job on the built-in model, small."""

import pytest
import torch

import zo_dno
from zo_dno.errors import InputError, PromptError
from zo_dno.run.config import validated
from zo_dno.run.from_config import run as run_config
from zo_dno.scenes.grammar import parse
from zo_dno.scenes.judge import Judge

PROMPT = "mountains at day, cloudy, with a house"


@pytest.fixture(scope="module")
def generator():
    return zo_dno.DiffusersGenerator.builtin(PROMPT)


def test_the_built_in_model_has_1024_searched_numbers(generator):
    assert generator.layout.shapes == ((4, 16, 16),)
    images = generator(torch.randn(3, 1024, generator=torch.Generator().manual_seed(0)))
    assert images.shape == (3, 128, 128, 3)


@pytest.mark.parametrize("queries", [16, pytest.param(96, marks=pytest.mark.slow)])
def test_a_short_search_keeps_the_prompt_and_the_prior(generator, queries):
    """Held out: the judge still reads the prompt's place and time off the winner."""
    result = zo_dno.optimize(generator, "jpeg_smaller", queries=queries, seed=0, held_out=["prompt_match"])
    assert result.best.reward > result.first.reward
    assert result.best.plausible
    assert result.best.log_prob >= -2.2
    assert abs(result.best.norm_ratio - 1) <= 3 / (2 * 1024) ** 0.5
    (seen,) = Judge.load().read([result.best_image])
    asked = parse(PROMPT)
    assert (seen.place, seen.time) == (asked.place, asked.time)


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_give_the_same_result(tmp_path):
    config = {"prompt": PROMPT, "queries": 32, "threads": 1, "held_out": ["prompt_match"]}
    results = []
    for workers in (0, 2):
        result = run_config(validated(config | {"workers": workers}), tmp_path / str(workers)).to_dict()
        del result["seconds"]
        results.append(result)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("prompt", "part"),
    [("a cat on a bicycle", "a cat"), ("mountains at noon", "noon"), ("sea at day, with a dragon", "dragon")],
)
def test_a_prompt_outside_the_grammar_is_told_what_is_known(prompt, part):
    with pytest.raises(PromptError, match=part) as caught:
        zo_dno.DiffusersGenerator.builtin(prompt)
    for word in ("mountains", "dusk", "snowy", "sailboat"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_prompt_needs_guidance():
    with pytest.raises(InputError, match="negative_prompt must come with guidance above 1; got guidance 1.0"):
        zo_dno.DiffusersGenerator.builtin(PROMPT, negative_prompt="city at day")
    few = {"model": "scenes-64", "steps": 1, "batch_size": 1}
    guided = zo_dno.DiffusersGenerator.builtin(PROMPT, negative_prompt="city at day", guidance_scale=1.25, **few)
    assert guided.nfe == 2 * zo_dno.DiffusersGenerator.builtin(PROMPT, **few).nfe
