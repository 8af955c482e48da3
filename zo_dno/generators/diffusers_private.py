"""Private attributes of diffusers' pipelines and attention processors."""

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
