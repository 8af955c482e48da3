"""The private attributes of diffusers that generators rely on: a new version that takes one away is named here."""

import diffusers
import torch
from diffusers import DiffusionPipeline, KandinskyV22PriorPipeline, StableDiffusionPipeline
from diffusers.loaders import single_file_utils
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from safetensors.torch import save_file

from zo_dno.generators.diffusers_private import (
    ENCODERS,
    execution_device,
    has_attention_backend,
    lacks_component,
    usual_config,
)

_IN_SINGLE_FILES = ("SingleFileComponentError", "fetch_diffusers_config", "load_single_file_checkpoint")
VERSION = f"diffusers {diffusers.__version__}"


class Offloaded:
    device, _execution_device = torch.device("cpu"), torch.device("meta")


class Plain:
    device = torch.device("cpu")


def test_pipelines_know_the_device_they_compute_on():
    assert hasattr(DiffusionPipeline, "_execution_device"), f"{VERSION} has no DiffusionPipeline._execution_device"
    assert execution_device(Offloaded()).type == "meta"
    assert execution_device(Plain()).type == "cpu"


def test_attention_processors_know_their_back_end():
    processor = FluxAttnProcessor()
    assert hasattr(processor, "_attention_backend"), f"{VERSION} has no FluxAttnProcessor._attention_backend"
    processor._attention_backend = "native"
    assert has_attention_backend(processor, "native")
    assert not has_attention_backend(processor, "flash")


def test_prompts_are_encoded_by_these_methods():
    for pipeline, name in zip((StableDiffusionPipeline, KandinskyV22PriorPipeline), ENCODERS, strict=True):
        assert hasattr(pipeline, name), f"{VERSION} has no {pipeline.__name__}.{name}"


def test_a_single_file_is_recognised_by_the_names_of_its_weights(tmp_path):
    names = [f"{VERSION} has no {one}" for one in _IN_SINGLE_FILES if not hasattr(single_file_utils, one)]
    assert not names
    save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(1, 4, 1, 1)}, tmp_path / "one.safetensors")
    assert usual_config(str(tmp_path / "one.safetensors")) == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert lacks_component(single_file_utils.SingleFileComponentError("no weights of the text encoder"))
    assert not lacks_component(ValueError())
