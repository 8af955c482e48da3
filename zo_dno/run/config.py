"""A run's config: all its options, checked once; the command line, YAML files and run folders share it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ValidationError, model_validator

from zo_dno.errors import InputError, unknown_name
from zo_dno.option_group import OptionGroup, input_error, marked
from zo_dno.run.model_options import GradientOptions, ModelOptions, PipelineOptions
from zo_dno.run.options import GENERATOR_ACTORS, Budget, Cluster, Output, RunOptions
from zo_dno.scenes import BEFORE

GRADIENT_OPTIONS = tuple(GradientOptions.model_fields)
OF_PIPELINES = tuple(PipelineOptions.model_fields)
GROUPS: dict[str, type[OptionGroup]] = {"budget": Budget, "cluster": Cluster, "output": Output}
"""Groups that a config may also hold as a mapping of their own."""
PROMPT_MISSING = "prompt is missing; give --prompt or write it into the config file."
_RENAMED = {"asking": "policy"}


class RunConfig(RunOptions, ModelOptions):
    """One run with its model. The fields are the options of `zo-dno run`, with the same meaning."""

    kind: ClassVar[str] = "config key"

    @model_validator(mode="after")
    def _built_in_model_has_a_prompt(self) -> Self:
        if self.model == ModelOptions.model_fields["model"].default and "prompt" not in self.model_fields_set:
            raise ValueError(PROMPT_MISSING)
        return self

    @property
    def given_prompt(self) -> str | None:
        """Prompt, None where there is none; one may be empty."""
        return self.prompt if "prompt" in self.model_fields_set else None

    @property
    def call_arguments(self) -> dict[str, Any]:
        """What the pipeline's call takes beside prompt, steps and guidance."""
        height, width = map(int, self.size.split("x")) if self.size else (None, None)
        named = {"negative_prompt": self.negative_prompt, "height": height, "width": width}
        return {**named, **self.generator_options}

    @property
    def search_arguments(self) -> dict[str, Any]:
        """What `optimize` takes beside the generator."""
        return {name: getattr(self, name) for name in RunOptions.model_fields if name not in GENERATOR_ACTORS}


CHANGEABLE = frozenset(marked(RunConfig, "changeable"))
"""Options that may differ from session to session: they say how far a run goes and what is kept, not what it does."""


def validated(values: Mapping[str, Any]) -> RunConfig:
    """Check a config.

    Raises:
        InputError: The first thing that is wrong with it, in one line.
    """
    flat = with_current_names(flattened(values))
    try:
        return RunConfig.model_validate(flat)
    except ValidationError as error:
        raise input_error(error, RunConfig) from error


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config whose groups of options, where it holds any, are spread out.

    Raises:
        InputError: A group is no mapping, or an option is given in it and by itself.
    """
    flat = {name: value for name, value in values.items() if name not in GROUPS}
    for name, group in GROUPS.items():
        given = values.get(name)
        if given is None:
            continue
        if not isinstance(given, group | Mapping):
            article = "an" if group.__name__.startswith("O") else "a"
            raise InputError(f"{name} must be {article} {group.__name__} or a mapping of its options; got {given!r}.")
        own = (
            given
            if isinstance(given, OptionGroup)
            else group(**{str(option): value for option, value in given.items()})
        ).given
        twice = next((option for option in own if option in flat), None)
        if twice is not None:
            raise InputError(f"{twice} must be given once; got it in {name} and by itself. Leave one out.")
        flat |= own
    return flat


def with_current_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, or a part of one, with the present names of keys that had others."""
    named = {_RENAMED.get(key, key): value for key, value in config.items()}
    return {key: with_current_names(value) if isinstance(value, dict) else value for key, value in named.items()}


def as_recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config that a run recorded, with the present names of keys and models that had others."""
    named = with_current_names(config)
    model = named.get("model")
    return named | ({"model": BEFORE[model]} if isinstance(model, str) and model in BEFORE else {})


def checked_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a resumed run that have other values than it had; those that are None stay as they were.

    Raises:
        InputError: An option is unknown, or may not change.
    """
    flat = with_current_names(flattened({name: value for name, value in changes.items() if value is not None}))
    for name in flat:
        if name not in RunConfig.model_fields:
            raise unknown_name("option", name, RunConfig.model_fields)
        if name not in CHANGEABLE:
            raise InputError(f"{name} must stay as it was when a run is resumed; got {flat[name]!r}. Start a new run.")
    return flat
