"""Everything that a run is asked to do, validated once; the command line, YAML files and run folders share it."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from zo_dno.errors import InputError, unknown_name
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY


class RunConfig(BaseModel):
    """One run. The fields are the options of `zo-dno run`, with the same meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str
    model: str = "scenes"
    negative_prompt: str | None = None
    steps: int | None = Field(None, ge=1)
    guidance: float | None = None
    size: str | None = None
    dtype: str | None = None
    device: str | None = None
    search: Literal["initial", "all"] = "initial"
    batch_size: int | Literal["auto"] = 8
    frames: int | None = Field(None, ge=1)
    compile: bool | None = None
    channels_last: bool | None = None
    attention: str | None = None
    vae_slicing: bool | None = None
    vae_tiling: bool | None = None
    offload: Literal["model", "sequential"] | None = None
    gradient_checkpointing: bool | None = None
    gradient_dtype: str | None = None
    gradient_calls: int | None = Field(None, ge=1)
    generator_options: dict[str, Any] = Field(default_factory=dict)
    generator_seed: int | None = None
    reward: str = "jpeg_smaller"
    reward_options: dict[str, Any] = Field(default_factory=dict)
    require: list[str] | None = None
    held_out: list[str] = Field(default_factory=list)
    strategy: str = DEFAULT_STRATEGY
    strategy_options: dict[str, Any] = Field(default_factory=dict)
    space: str = DEFAULT_SPACE
    space_options: dict[str, Any] = Field(default_factory=dict)
    policy: dict[str, Any] = Field(default_factory=dict)
    cache: Path | None = None
    queries: int = Field(512, ge=1)
    horizon: int | None = Field(None, ge=1)
    nfe: int | None = Field(None, ge=1)
    max_cost: float | None = Field(None, gt=0)
    seconds: float | None = Field(None, gt=0)
    target: float | None = None
    baseline: int | Literal["equal"] = 0
    repeats: Annotated[int, Field(ge=0)] | Literal["auto"] | None = None
    screen: int | None = Field(None, ge=0)
    lag: int = Field(0, ge=0)
    seed: int = 0
    gamma: Annotated[float, Field(ge=0)] | Literal["auto"] = 0.0
    min_log_prob: float | str | None = "1%"
    init: Path | None = None
    top: int = Field(1, ge=1)
    keep_images: int = Field(16, ge=1)
    workers: int = Field(0, ge=0)
    worker_cpus: float = Field(1, ge=0)
    worker_gpus: float = Field(0, ge=0)
    worker_resources: dict[str, float] = Field(default_factory=dict)
    generators: int = Field(0, ge=0)
    generator_cpus: float = Field(1, ge=0)
    generator_gpus: float = Field(0, ge=0)
    ray: str = "local"
    ray_env: dict[str, Any] | None = None
    threads: int | None = Field(None, ge=1)

    @field_validator("size")
    @classmethod
    def _size_is_height_by_width(cls, size: str | None) -> str | None:
        if size is not None and not re.fullmatch(r"[1-9]\d*x[1-9]\d*", size):
            raise ValueError("HEIGHTxWIDTH, such as 512x512")
        return size

    @field_validator("batch_size")
    @classmethod
    def _batch_size_is_positive(cls, batch_size: int | str) -> int | str:
        if isinstance(batch_size, int) and batch_size < 1:
            raise ValueError("greater than or equal to 1, or 'auto'")
        return batch_size

    @property
    def call_arguments(self) -> dict[str, Any]:
        """What the pipeline's call is given beside prompt, steps and guidance."""
        height, width = map(int, self.size.split("x")) if self.size else (None, None)
        named = {"negative_prompt": self.negative_prompt, "height": height, "width": width}
        return {**named, **self.generator_options}

    @property
    def search_arguments(self) -> dict[str, Any]:
        """What `optimize` is given beside the generator."""
        return {name: getattr(self, name) for name in type(self).model_fields if name not in _OF_THE_MODEL}


GRADIENT_OPTIONS = ("gradient_checkpointing", "gradient_dtype", "gradient_calls")
"""How gradients pass through a pipeline."""

OF_PIPELINES = (
    *("negative_prompt", "steps", "guidance", "size", "dtype", "device", "frames", "compile", "channels_last"),
    *("attention", "vae_slicing", "vae_tiling", "offload"),
    *GRADIENT_OPTIONS,
)
"""What only diffusers pipelines have."""

_OF_THE_MODEL = {
    *OF_PIPELINES,
    *("prompt", "model", "search", "batch_size", "generator_options", "generator_seed"),
    *("generators", "generator_cpus", "generator_gpus"),
}


_RENAMED = {"asking": "policy"}


def with_current_names(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config, or a part of one, with the present names of keys that had others."""
    named = {_RENAMED.get(key, key): value for key, value in config.items()}
    return {key: with_current_names(value) if isinstance(value, dict) else value for key, value in named.items()}


def validated(values: dict[str, Any]) -> RunConfig:
    """Check a config.

    Raises:
        InputError: the first thing that is wrong with it, in one line.
    """
    try:
        return RunConfig.model_validate(with_current_names(values))
    except ValidationError as error:
        first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        name = ".".join(map(str, first["loc"][:1]))
        if first["type"] == "extra_forbidden":
            raise unknown_name("config key", name, RunConfig.model_fields) from error
        if first["type"] == "missing":
            raise InputError(f"{name} is missing; give --{name} or write it into the config file.") from error
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise InputError(f"{name} must be {reason}; got {first['input']!r}.") from error
