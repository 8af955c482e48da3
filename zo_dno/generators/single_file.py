"""Pipelines from a single-file checkpoint, as fine-tuned models are published."""

import logging
from typing import Any

import torch

from zo_dno.errors import InputError, given
from zo_dno.generators.diffusers_names import class_named
from zo_dno.generators.diffusers_private import lacks_component, usual_config
from zo_dno.generators.load_failures import loading, reason_of
from zo_dno.generators.places import Place, place_of
from zo_dno.generators.tape import DENOISERS

log = logging.getLogger(__name__)


def load_single_file(
    place: Place,
    dtype: torch.dtype,
    *,
    pipeline_class: str | None = None,
    pipeline_config: str | None = None,
    revision: str | None = None,
) -> Any:
    """Load a pipeline from a file that holds the weights of all its networks.

    The file says nothing about the classes and sizes of the networks, the tokenizer and the scheduler: these are the
    config, a folder as a pipeline is saved in. A file of the denoiser alone, as for FLUX, takes all else from there.

    Args:
        place: Place of the file.
        dtype: Type of the networks.
        pipeline_class: Name of the pipeline's class in diffusers; by default that of the config.
        pipeline_config: Folder or hub name of the config; by default the hub name that diffusers knows for the file.
        revision: Branch, tag or commit of the hub.
    Raises:
        InputError: The file or its config cannot be had, or do not fit together.
    """
    from diffusers import DiffusionPipeline

    if pipeline_config is not None:
        config = place_of("pipeline_config", pipeline_config).folder
    else:
        with loading("model", place.path, "Give a checkpoint with the weights of a whole pipeline."):
            config = usual_config(place.path)
    try:
        named: Any = DiffusionPipeline.load_config(config)
    except (OSError, ValueError) as error:
        raise InputError(_without_config(place, pipeline_config, config, reason_of(error))) from error
    kind: Any = class_named("pipeline_class", pipeline_class or named["_class_name"], "Pipeline")
    if not hasattr(kind, "from_single_file"):
        raise InputError(
            f"pipeline_class must be one that can be loaded from a single file; got {kind.__name__}. Give a folder."
        )
    given_revision = {} if revision is None else {"revision": revision}
    remedy = (
        f"Check that it holds a {kind.__name__} like that of {config}; for a file of the denoiser alone, the weights "
        "of all else must be there."
    )
    with loading("model", place.path, remedy):
        try:
            return kind.from_single_file(place.path, config=config, dtype=dtype, **given_revision)
        except Exception as error:
            if not lacks_component(error):
                raise
        return _with_denoiser(kind, named, place, config, dtype)


def _with_denoiser(kind: Any, named: Any, place: Place, config: str, dtype: torch.dtype) -> Any:
    """Load a pipeline from the folder or hub name of its config, with its denoiser from a file."""
    import diffusers

    log.warning("model %s lacks the text encoder: all but the denoiser is taken from %s", place.path, config)
    name = next(name for name in DENOISERS if name in named)
    network = getattr(diffusers, named[name][1]).from_single_file(
        place.path, config=config, subfolder=name, dtype=dtype
    )
    return kind.from_pretrained(config, dtype=dtype, **{name: network})


def _without_config(place: Place, pipeline_config: str | None, config: str, reason: str) -> str:
    if pipeline_config is not None:
        return (
            f"pipeline_config must be a folder with model_index.json, or a hub name; got {given(config)}, which could "
            f"not be read: {reason}."
        )
    return (
        f"model {given(place.path)} needs the config of {config}, which is neither on this machine nor within reach: "
        f"{reason}. Give pipeline_config, a folder as a pipeline of this kind is saved in (model_index.json, and a "
        "folder with a config for each component; no weights)."
    )
