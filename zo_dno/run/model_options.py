"""The options of a run that describe its model: where it comes from, how it renders, and its gradients."""

import math
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from zo_dno.option_group import OptionGroup, option
from zo_dno.run.option_types import FilePath, Names, Words
from zo_dno.scenes import ALIASES, SIDES

_MOST_PIXELS = 2**26  # of an image file that is decoded; its module imports numpy, which takes time


class SpeedOptions(OptionGroup):
    """How fast, and in how little memory, a pipeline renders. All of it may change the last bits of an image."""

    title: ClassVar[str] = "Model"

    dtype: str | None = option(None, "Number type of the networks, such as float16", by_default="the pipeline's own")
    device: str | None = option(None, "Device to render on, such as cuda", by_default="the pipeline's own")
    compile: bool | None = option(None, "Compile the denoiser with torch.compile at its first call")
    channels_last: bool | None = option(None, "Use the channels-last memory format, which suits GPUs with tensor cores")
    attention: str | None = option(None, "Attention back end, such as native, flash or sdpa")
    vae_slicing: bool | None = option(None, "Decode the images of a batch one after the other")
    vae_tiling: bool | None = option(None, "Decode large images in tiles")
    offload: Literal["model", "sequential"] | None = option(
        None, "Keep unused networks (model) or unused layers (sequential) in the CPU's memory"
    )


class GradientOptions(OptionGroup):
    """How gradients pass through a pipeline."""

    title: ClassVar[str] = "Model"

    gradient_checkpointing: bool | None = option(
        None, "Recompute the networks in the backward pass, which saves memory", by_default="above 1 GiB"
    )
    gradient_dtype: str | None = option(
        None, "Number type of the networks for gradients", by_default="that of the networks, in autocast"
    )
    gradient_calls: int | None = option(
        None, "Number of denoiser calls, counted from the last, that gradients pass through", by_default="all", ge=0
    )


class SourceOptions(OptionGroup):
    """Where a pipeline is loaded from, and what is put on it."""

    title: ClassVar[str] = "Model"

    lora: Names | None = option(None, "LoRA, PATH or PATH:SCALE; all of them work together")
    scheduler: str | None = option(
        None,
        "Scheduler, a class of diffusers, such as EulerAncestralDiscreteScheduler",
        by_default="the pipeline's own",
    )
    scheduler_options: dict[str, Any] | None = option(
        None,
        "Option of the scheduler, such as timestep_spacing=trailing",
        flags=("--scheduler-option",),
        form="yaml pairs",
    )
    vae: FilePath | None = option(None, "Folder, file or hub name of an autoencoder", by_default="the pipeline's own")
    textual_inversion: Names | None = option(None, "Textual inversion, PATH or PATH:TOKEN")
    ip_adapter: FilePath | None = option(
        None, "File of an IP-Adapter, PATH or PATH:SCALE; its image is the generator option ip_adapter_image"
    )
    variant: str | None = option(None, "Variant of the weights' files, such as fp16")
    revision: str | None = option(None, "Branch, tag or commit of a model on the hub")
    pipeline_class: str | None = option(
        None, "Class of diffusers to load the pipeline as", by_default="the model's own"
    )
    pipeline_config: FilePath | None = option(
        None,
        "Folder or hub name of the config of a single-file checkpoint (docs/pipelines.md)",
        by_default="the hub name that diffusers knows for it",
    )


class PipelineOptions(SpeedOptions, GradientOptions, SourceOptions):
    """Options of diffusers pipelines alone."""

    title: ClassVar[str] = "Model"

    negative_prompt: Words | None = option(None, "What the image must not show")
    steps: int | None = option(None, "Number of denoising steps", by_default="the pipeline's own", ge=1)
    guidance: float | None = option(None, "Scale of classifier-free guidance", by_default="the pipeline's own", ge=0)
    size: str | None = option(
        None, "Size of the image, HEIGHTxWIDTH, such as 512x512", unit="pixels", by_default="the pipeline's own"
    )
    frames: int | None = option(None, "Number of frames of a video to put side by side", by_default="4", ge=1)

    @field_validator("size")
    @classmethod
    def _size_is_height_by_width(cls, size: str | None) -> str | None:
        if size is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            raise ValueError("HEIGHTxWIDTH, such as 512x512")
        if size is not None and math.prod(map(int, size.split("x"))) > _MOST_PIXELS:
            raise ValueError(f"of at most {_MOST_PIXELS} pixels, such as 4096x4096")
        return size


class ModelOptions(PipelineOptions):
    """Options of the model, and of how it renders."""

    title: ClassVar[str] = "Model"

    prompt: Words = option("", "What the image shows; models that take no prompt need none")
    model: str = option(
        next(iter(SIDES)),
        "scenes-128 or scenes-64 (built in; scenes is the former), a diffusers pipeline by its folder, single-file "
        "checkpoint or hub name, an ONNX file, or package.module:name of your own (docs/generators.md)",
    )
    search: Literal["initial", "all"] = option("initial", "Noise to search: initial, or all (the noise of every step)")
    batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] = option(
        8, "Largest number of images rendered at once, or auto"
    )
    generator_options: dict[str, Any] = option(
        {},
        "Further argument of the pipeline call, such as eta=1, or option of your own model",
        flags=("--generator-option",),
        form="yaml pairs",
    )
    generator_seed: int | None = option(None, "Seed of the noise that is not searched", by_default="the run's seed")

    @field_validator("model")
    @classmethod
    def _model_has_its_full_name(cls, model: str) -> str:
        return ALIASES.get(model, model)
