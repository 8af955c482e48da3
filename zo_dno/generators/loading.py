"""The source of a pipeline: where it is loaded from, and what is put on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.generators.adapters import put_embeddings, put_ip_adapter, put_loras
from zo_dno.generators.built_in import BUILTIN, BUILTINS
from zo_dno.generators.components import put_autoencoder, put_scheduler
from zo_dno.generators.diffusers_import import pipeline_class
from zo_dno.generators.diffusers_names import class_named
from zo_dno.generators.load_failures import loading
from zo_dno.generators.places import WEIGHT_FILES, Place, place_of
from zo_dno.generators.single_file import load_single_file
from zo_dno.generators.speed import torch_dtype
from zo_dno.generators.torchvision_check import without_broken_torchvision

_OF_LOADING = ("variant", "revision", "pipeline_class", "pipeline_config")


def check_pipeline(pipeline: Any, prompt: Any) -> None:
    """Check what a caller makes a generator of.

    Raises:
        InputError: The pipeline is none and names none, or the prompt is no text.
    """
    if isinstance(pipeline, str) and pipeline in BUILTINS:
        raise InputError(
            f"pipeline must be one of diffusers, or its folder or hub name; got the built-in model {pipeline!r}. Load "
            f"it by DiffusersGenerator.builtin(prompt, model={pipeline!r})."
        )
    if not isinstance(pipeline, str | Path | PipelineSource) and not callable(pipeline):
        raise InputError(
            f"pipeline must be a loaded pipeline of diffusers, or its folder or hub name; got {given(pipeline)}."
        )
    if not isinstance(prompt, str):
        raise InputError(f"prompt must be text; got {given(prompt)}.")


@dataclass(frozen=True, slots=True)
class PipelineSource:
    """Where a pipeline comes from, and what is put on it.

    Attributes:
        model: Hub name, folder or single-file checkpoint of a pipeline, or a loaded pipeline of diffusers.
        variant: Variant of the weights' files, such as "fp16".
        revision: Branch, tag or commit of the hub.
        pipeline_class: Name of the pipeline's class in diffusers, in place of the model's own.
        pipeline_config: Folder or hub name of the config of a single-file checkpoint.
        vae: Hub name, folder or file of an autoencoder.
        scheduler: Name of a scheduler's class in diffusers.
        scheduler_options: Options of the scheduler, such as timestep_spacing.
        lora: LoRAs, each PATH or PATH:SCALE.
        textual_inversion: Textual inversions, each PATH or PATH:TOKEN.
        ip_adapter: IP-Adapter, PATH or PATH:SCALE.
    """

    model: Any
    variant: str | None = None
    revision: str | None = None
    pipeline_class: str | None = None
    pipeline_config: str | None = None
    vae: str | None = None
    scheduler: str | None = None
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    lora: Sequence[str] = ()
    textual_inversion: Sequence[str] = ()
    ip_adapter: str | None = None

    @property
    def name(self) -> str:
        """Name of the model, by which a config loads it again; of a pipeline that is loaded already, its class."""
        return str(self.model) if self.is_named else type(self.model).__name__

    @property
    def is_named(self) -> bool:
        """Whether the model is named, and not a pipeline that is loaded already."""
        return isinstance(self.model, str | Path)

    @property
    def settings(self) -> dict[str, Any]:
        """The fields beside the model as a config has them, without those that are not given."""
        lists = {"lora": list(self.lora), "textual_inversion": list(self.textual_inversion)}
        plain = {name: getattr(self, name) for name in SOURCE_OPTIONS} | lists
        plain["scheduler_options"] = dict(self.scheduler_options)
        return {name: value for name, value in plain.items() if value}

    def load(self, dtype: str | torch.dtype | None) -> Any:
        """Load the pipeline and put on it what is given.

        Args:
            dtype: Type of the networks; by default float32, or that of a pipeline that is loaded already.
        Raises:
            InputError: Something is missing, out of reach, incomplete, or does not fit.
        """
        kind = torch_dtype(dtype)
        with without_broken_torchvision():
            pipeline = load_pipeline(self, kind or torch.float32) if self.is_named else self._ready(kind)
            if self.vae is not None:
                put_autoencoder(pipeline, self.vae)
            if self.scheduler is not None or self.scheduler_options:
                put_scheduler(pipeline, self.scheduler, self.scheduler_options)
            put_embeddings(pipeline, self.textual_inversion)
            if self.ip_adapter is not None:
                put_ip_adapter(pipeline, self.ip_adapter)
            put_loras(pipeline, self.lora)
        return pipeline

    def _ready(self, dtype: torch.dtype | None) -> Any:
        """Return a pipeline that is loaded already, in another type if one is given."""
        named = next((name for name in _OF_LOADING if getattr(self, name) is not None), None)
        if named is not None:
            raise InputError(
                f"{named} must be left out with a pipeline that is loaded already; got {given(getattr(self, named))}."
            )
        if dtype is not None:
            self.model.to(dtype)
        return self.model


SOURCE_OPTIONS = tuple(one.name for one in fields(PipelineSource) if one.name != "model")


def load_pipeline(source: PipelineSource, dtype: torch.dtype) -> Any:
    """Load a pipeline from the hub, a folder or a single file.

    Raises:
        InputError: The pipeline is missing, out of reach, or incomplete.
    """
    with loading("model", source.model, "Check the installation of diffusers."):
        kind = pipeline_class()
    name = str(source.model)
    if "/" not in name and not Path(name).expanduser().exists() and not name.endswith(WEIGHT_FILES):
        raise unknown_name(
            "model", name, [*BUILTINS, "FOLDER", "FILE.safetensors", "OWNER/NAME on the hub", "MODULE:FUNCTION"]
        )
    place = place_of("model", source.model)
    if place.file is not None:
        _leave_out(source, "variant", "with a single file")
        own = {name: getattr(source, name) for name in ("pipeline_class", "pipeline_config", "revision")}
        return load_single_file(place, dtype, **own)
    _leave_out(source, "pipeline_config", "with a folder or a hub name, which has its own")
    if place.local:
        _leave_out(source, "revision", "with a folder")
        _check_folder(Path(place.folder))
    if source.pipeline_class is not None:
        kind = class_named("pipeline_class", source.pipeline_class, "Pipeline")
    chosen = {name: value for name in ("variant", "revision") if (value := getattr(source, name)) is not None}
    with loading("model", name, _remedy(place, source.variant)):
        return kind.from_pretrained(place.folder, dtype=dtype, **chosen)


def _remedy(place: Place, variant: str | None) -> str:
    if variant is not None:
        return f"Check that its weights have the variant {variant!r}, or leave variant out."
    if place.local:
        return "Give a folder as diffusers saves a pipeline, with its weights."
    return (
        f"Give {BUILTIN!r}, a diffusers folder with its weights, a single-file checkpoint, or a hub name that is on "
        "this machine or within reach."
    )


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is no pipeline's, and name the single file that may be meant."""
    if (folder / "model_index.json").exists():
        return
    files = [one for one in folder.iterdir() if one.name.endswith(WEIGHT_FILES)]
    largest = max(files, key=lambda one: one.stat().st_size, default=None)
    hint = f" Did you mean its file {str(largest)!r}?" if largest else ""
    raise InputError(
        f"model must be a folder that holds a pipeline, with its model_index.json; got {given(str(folder))}, which has "
        f"none.{hint}"
    )


def _leave_out(source: PipelineSource, name: str, why: str) -> None:
    if getattr(source, name) is not None:
        raise InputError(f"{name} must be left out {why}; got {given(getattr(source, name))}.")
