"""What is said of a pipeline: arguments without effect, prompts that are cut, noise that is not searched."""

import logging

import pytest
import torch

from tests.support.zoo import parts
from zo_dno.generators.cut_prompts import PromptCuts
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.remarks import say

FEW = {"steps": 2, "batch_size": 2}


def said(caplog):
    return [one.getMessage() for one in caplog.records if one.name.startswith("zo_dno")]


def test_a_remark_is_made_once_of_each_pipeline(caplog):
    class Pipeline:
        pass

    one, other = Pipeline(), Pipeline()
    for pipeline in (one, one, other):
        say(pipeline, "slow")
    assert said(caplog) == ["slow", "slow"]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_negative_prompt_without_guidance(stable_diffusion, caplog, guidance):
    DiffusersGenerator(stable_diffusion, "a cat", guidance_scale=guidance, negative_prompt="a dog", **FEW)
    if guidance > 1:
        assert not said(caplog)
        return
    (remark,) = said(caplog)
    assert remark.startswith("negative_prompt 'a dog' has no effect on StableDiffusionPipeline with DDIMScheduler")
    assert remark.endswith("It needs guidance above 1, and a model that was trained for it.")


def test_eta_and_a_scheduler_without_noise_in_its_steps(stable_diffusion, caplog):
    from diffusers import EulerDiscreteScheduler

    stable_diffusion.scheduler = EulerDiscreteScheduler.from_config(stable_diffusion.scheduler.config)
    generator = DiffusersGenerator(stable_diffusion, "a cat", eta=1.0, search="all", **FEW)
    assert generator.layout.shapes == ((4, 8, 8),)
    ignored, searched = said(caplog)
    assert "eta 1.0 has no effect on StableDiffusionPipeline with EulerDiscreteScheduler" in ignored
    assert searched.startswith("search 'all' searches the initial noise alone: no noise in the steps of EulerDiscrete")
    assert searched.endswith("such as EulerAncestralDiscreteScheduler, or DDIMScheduler with eta=1.")


@pytest.mark.parametrize(
    ("arguments", "remark"), [({}, "Give it some with eta=1 (--generator-option eta=1)."), ({"eta": 1.0}, None)]
)
def test_search_all_with_ddim(stable_diffusion, caplog, arguments, remark):
    generator = DiffusersGenerator(stable_diffusion, "a cat", search="all", **arguments, **FEW)
    assert (len(generator.layout.shapes) > 1) == (remark is None)
    assert [one.endswith(remark or "") for one in said(caplog)] == [True] * (remark is not None)


def test_what_is_needed_or_has_an_effect_is_not_mentioned(stable_diffusion, caplog):
    DiffusersGenerator(stable_diffusion, "a cat", guidance_scale=2.0, height=16, width=16, eta=0.0, **FEW)
    assert not said(caplog)


def test_a_prompt_that_is_cut_is_said_once_with_what_was_cut(stable_diffusion, caplog):
    """The tiny tokenizer has 14 letters beside its marks of begin and end."""
    generator = DiffusersGenerator(
        stable_diffusion, "A cat on a mat by the sea", guidance_scale=2.0, negative_prompt="a dog", **FEW
    )
    z = torch.zeros(1, generator.layout.d)
    generator(z)
    assert said(caplog) == [
        "prompt is cut by text_encoder of StableDiffusionPipeline: it does not see 'e sea'. Shorten it, or say first "
        "what matters."
    ]
    caplog.clear()
    generator.with_prompt("a cat on a mat")(z)
    assert not said(caplog)
    generator.with_prompt("abcdefghijklmnop")(z)
    assert "does not see 'op'" in said(caplog)[0]


def test_a_negative_prompt_that_is_cut(stable_diffusion, caplog):
    options = {"guidance_scale": 2.0, "negative_prompt": "abcd efgh ijkl mnop"}
    DiffusersGenerator(stable_diffusion, "nmlkjihgfedcba", **options, **FEW)  # the prompt has exactly as many
    assert [one.partition(". ")[0] for one in said(caplog)] == [
        "negative_prompt is cut by text_encoder of StableDiffusionPipeline: it does not see 'op'"
    ]


class TwoEncoders:
    """A pipeline whose second encoder reads more than its first."""

    def __init__(self):
        self.tokenizer, self.text_encoder = parts.clip_tokenizer(), parts.clip_text()
        self.tokenizer_2, self.text_encoder_2 = parts.tokenizer(), parts.t5()


def test_an_encoder_that_reads_all_is_named(caplog):
    pipeline, prompt = TwoEncoders(), "a cat on a mat by the sea at night"
    with PromptCuts(pipeline, {"prompt": prompt}).watched(), torch.no_grad():
        first = pipeline.tokenizer(prompt, truncation=True, return_tensors="pt").input_ids
        pipeline.text_encoder(first)
        pipeline.text_encoder_2(pipeline.tokenizer_2(prompt, return_tensors="pt").input_ids)
    (remark,) = said(caplog)
    assert remark.startswith("prompt is cut by text_encoder of TwoEncoders: it does not see '")
    assert remark.endswith("text_encoder_2 sees all of it.")


def test_actors_pass_on_what_is_said_while_they_load(stable_diffusion):
    from zo_dno.distributed.rendering_actor import RenderingActor

    def make():
        return DiffusersGenerator(stable_diffusion, "a cat", search="all", **FEW)

    before = list(logging.getLogger("zo_dno").handlers)
    described = RenderingActor(make, 1).describe()
    assert [one.startswith("search 'all' searches the initial noise alone") for one in described["remarks"]] == [True]
    assert logging.getLogger("zo_dno").handlers == before
