"""Private functions and attributes of diffusers."""

from typing import Any

import torch

ENCODERS = ("encode_prompt", "_encode_prompt")
"""Methods that encode a pipeline's prompt; some families have a private one."""


def execution_device(pipeline: Any) -> torch.device:
    """Return the device that a pipeline computes on, which is not its `device` while its networks are offloaded."""
    found: torch.device = getattr(pipeline, "_execution_device", None) or pipeline.device
    return found


def has_attention_backend(processor: Any, name: str) -> bool:
    """Return whether an attention processor uses the back end of this name."""
    return getattr(processor, "_attention_backend", None) == name


def lacks_component(error: Exception) -> bool:
    """Return whether an error says that a single-file checkpoint lacks the weights of a component."""
    return type(error).__name__ == "SingleFileComponentError"


def usual_config(file: str) -> str:
    """Return the hub name of the pipeline that diffusers takes a single-file checkpoint for, by its weights' names."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config, load_single_file_checkpoint

    name: str = fetch_diffusers_config(load_single_file_checkpoint(file))["pretrained_model_name_or_path"]
    return name
