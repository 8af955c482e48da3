"""The options of a run, in groups: the one list that command line, YAML, `optimize`, help and docs derive from."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from zo_dno.option_group import OptionGroup, option
from zo_dno.run.option_types import FilePath, Level, Names, Services, Words, policy_changes
from zo_dno.run.several_rewards import as_one
from zo_dno.scenes import ALIASES, SIDES
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY

GENERATOR_ACTORS = ("generators", "generator_cpus", "generator_gpus")
"""Options of a cluster that belong to the model; a generator that exists already has them."""


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


class RewardOptions(OptionGroup):
    """What is maximised, and what is scored beside it."""

    title: ClassVar[str] = "Reward"

    reward: str = option(
        "jpeg_smaller",
        "Name from `zo-dno list`, or package.module:function; several are searched for their front (docs/fronts.md)",
        repeatable=True,
    )
    front: bool | None = option(
        None,
        "Whether several rewards are searched for their front: the candidates that no other beats in all of them; "
        "otherwise for their weighted sum",
        by_default="with several rewards",
    )
    reward_options: dict[str, Any] = option(
        {},
        "Option of the reward; of several, NAME.OPTION, or an option of the front, such as reference",
        flags=("--reward-option",),
        redraw=True,
    )
    require: Names | None = option(
        None, "Threshold that a winner must meet, such as 'prompt_match >= 0.9' (docs/rewards.md)", redraw=True
    )
    held_out: Names = option([], "Reward that scores only the first image and the winner", changeable=True, redraw=True)
    policy: Annotated[dict[str, Any], BeforeValidator(policy_changes)] = option(
        {}, "Changes to the reward's call policy, by the names of the next table", changeable=True, redraw=True
    )
    cache: FilePath | None = option(None, "File of scores that several runs share", changeable=True, redraw=True)

    @model_validator(mode="before")
    @classmethod
    def _several_rewards_are_one(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not {"reward", "front"} & values.keys():
            return values
        options = {} if values.get("reward_options") is None else values["reward_options"]
        if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
            return {**values, "reward": cls.model_fields["reward"].default}  # so that their own check refuses them
        named = values.get("reward", cls.model_fields["reward"].default)
        reward, options = as_one(named, values.get("reward_options"), values.get("front"))
        kept = {name: value for name, value in values.items() if name not in ("reward", "front", "reward_options")}
        given = {"reward": reward} if "reward" in values else {}
        return {**kept, **given, **({"reward_options": options} if options or "reward_options" in values else {})}


class SearchOptions(OptionGroup):
    """How the noise is searched."""

    title: ClassVar[str] = "Search"

    strategy: str = option(DEFAULT_STRATEGY, "Name from `zo-dno list`, or package.module:Class")
    strategy_options: dict[str, Any] = option({}, "Option of the strategy", flags=("--strategy-option",))
    space: str = option(DEFAULT_SPACE, "Name of a search space from `zo-dno list` (docs/spaces.md)")
    space_options: dict[str, Any] = option({}, "Option of the search space", flags=("--space-option",))
    seed: int = option(0, "Seed of all random numbers of the search", redraw=True)
    gamma: Annotated[float, Field(ge=0)] | Literal["auto"] = option(
        0.0,
        "Weight of the Gaussian regularizer, or auto, which adapts it to the share of implausible candidates",
        unit="reward per nat",
        redraw=True,
    )
    min_log_prob: Level = option(
        "1%",
        "Plausibility that a winner needs: a level for the tests of log P, norm and whiteness, such as 1%; a number, "
        "which limits log P alone; or none",
        redraw=True,
    )
    init: FilePath | None = option(None, "Noise to start from: best.safetensors of a run, or its folder")
    near: Names = option(
        [], "Liked noise to stay near: a run, a file of noise or a folder of them; several are mixed (docs/spaces.md)"
    )
    distance: float = option(
        0.3, "Share of fresh noise in candidates near liked noise: 0 mixes it alone, 1 forgets it", ge=0, le=1
    )
    baseline: Annotated[int, Field(ge=0)] | Literal["equal"] = option(
        0,
        "Queries of a best-of-N run to compare with, or equal (as many as the search); with 0, best-of-N is estimated",
        changeable=True,
    )
    repeats: Annotated[int, Field(ge=0)] | Literal["auto"] | None = option(
        None,
        "Queries reserved for scoring the best images of a noisy reward again, or auto (a fifth of all)",
        by_default="auto for a noisy reward, else 0",
        changeable=True,
    )
    screen: int | None = option(
        None,
        "Images rendered per query; a surrogate selects the ones to score; 0 scores every image",
        by_default="4 with auto and max_cost, but no climb, lag, nfe, seconds or noisy reward; else 0",
        ge=0,
    )
    climb: bool | None = option(
        None,
        "Whether auto searches a surrogate of the reward, by gradients where there are any (docs/strategies.md)",
        by_default="with gradients, if queries cost something; without, as screen",
    )
    diverse: int | None = option(
        None, "Number of good images that differ, which are searched as a set (docs/diverse.md)", ge=2
    )
    apart: str = option(
        "pixels",
        "Distance by which they differ: pixels, picture, colours, bands, modes, embedding:NETWORK, or "
        "package.module:function",
    )
    min_distance: float | None = option(
        None,
        "Least distance of any two of them",
        by_default="0.85 of the mean distance of two prior draws",
        gt=0,
    )
    measures: Names = option(
        [],
        "Measure of images, NAME or NAME=LOW..HIGH: the best candidate of every cell of one or two is kept "
        "(docs/diverse.md)",
    )
    surrogate: FilePath | None = option(
        None,
        "File of what the strategy surrogate learned on earlier prompts, read at the start if it exists, and added to "
        "at the end (docs/strategies.md)",
    )
    lag: int = option(
        0, "Populations that may still lack scores when the next one is proposed (docs/strategies.md)", ge=0
    )


class Budget(OptionGroup):
    """What a run may spend. It ends when the first of these is spent."""

    title: ClassVar[str] = "Budget"

    queries: int = option(512, "Number of queries in all, those served from the cache included", resume=True, ge=1)
    horizon: int | None = option(None, "Number of queries that the strategy plans for", by_default="queries", ge=1)
    nfe: int | None = option(None, "Number of denoiser calls in all", resume=True, ge=1)
    seconds: float | None = option(
        None,
        "Wall-clock time of all sessions together; the population in flight is still finished",
        unit="s",
        resume=True,
        gt=0,
    )
    max_cost: float | None = option(
        None,
        "Money to spend in all, baseline and held-out rewards included; a query that could exceed it is not sent",
        unit="currency",
        resume=True,
        gt=0,
    )
    target: float | None = option(
        None, "Reward at which a feasible candidate ends the search", unit="unit of the reward", changeable=True
    )


class Cluster(OptionGroup):
    """Ray: other processes and machines."""

    title: ClassVar[str] = "Ray: other processes and machines"

    workers: int = option(0, "Number of actors that score; 0 scores in this process", resume=True, redraw=True, ge=0)
    worker_cpus: float = option(
        1, "CPUs that each worker takes; with 0, any number of workers share a CPU", changeable=True, redraw=True, ge=0
    )
    worker_gpus: float = option(0, "GPUs that each worker takes, or a share of one", changeable=True, redraw=True, ge=0)
    worker_resources: dict[str, float] = option(
        {},
        "Custom resource of the cluster that each worker takes",
        flags=("--worker-resource",),
        changeable=True,
        redraw=True,
    )
    generators: int = option(
        0, "Number of actors that render, and take gradients; 0 does both in this process", resume=True, ge=0
    )
    generator_cpus: float = option(1, "CPUs that each generator takes", changeable=True, ge=0)
    generator_gpus: float = option(
        0,
        "GPUs that each generator takes",
        flags=("--gpus-per-generator", "--generator-gpus"),
        changeable=True,
        ge=0,
    )
    ray: str = option(
        "local",
        "Ray to use: local (started for this run), auto (already running on this machine), or HOST:PORT of a cluster",
        resume=True,
        redraw=True,
    )
    ray_env: dict[str, Any] | None = option(
        None,
        "Ray runtime environment of the actors; on the command line, a YAML file",
        form="yaml file",
        changeable=True,
        redraw=True,
    )


class Output(OptionGroup):
    """What a run keeps, and with how many threads it works."""

    title: ClassVar[str] = "Output"

    top: int = option(1, "Number of best images to keep, without near copies", changeable=True, redraw=True, ge=1)
    keep_images: int = option(16, "Keep every k-th image; with a price, every image is kept", changeable=True, ge=1)
    threads: int | None = option(
        None,
        "Number of CPU threads; fixed for a run, since it may change the last bit of an image",
        by_default="all",
        redraw=True,
        ge=1,
    )
    log_to: Services = option(
        [], "Also log to tensorboard, mlflow or wandb; repeatable (docs/watching.md)", resume=True
    )


class RunOptions(Output, Cluster, Budget, SearchOptions, RewardOptions):
    """The options of a run beside its model."""
