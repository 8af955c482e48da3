"""Generators from a config: loaded in this process, or in Ray actors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import Takes
from zo_dno.errors import InputError
from zo_dno.generators.built_in import BUILTIN, BUILTINS, check_scene_prompt
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.given import check_prompt
from zo_dno.generators.imported import imported_generator, names_python
from zo_dno.generators.loading import SOURCE_OPTIONS
from zo_dno.generators.onnx_generator import OnnxGenerator, names_onnx
from zo_dno.generators.speed import SPEED_OPTIONS
from zo_dno.registry import check_is_no_module, is_import
from zo_dno.run.config import GRADIENT_OPTIONS, OF_PIPELINES, RunConfig, validated
from zo_dno.types import Generator


def generator_from(config: Mapping[str, Any]) -> Generator:
    """Make the generator of a run's config.

    Raises:
        InputError: The run had a Python object that its config cannot name, or the model cannot be loaded.
    """
    with model_named(config, "Resume it from Python: zo_dno.resume(RUN, generator=...), with the generator it had."):
        return make_generator(validated(dict(config)))


@contextmanager
def model_named(config: Mapping[str, Any], remedy: str) -> Iterator[None]:
    """Load the model of a run's config inside the block.

    Args:
        config: Config of a run.
        remedy: What to do where the model was a Python object.
    Raises:
        InputError: The run had a Python object that its config cannot name, or the model cannot be loaded.
    """
    model = str(config.get("model", BUILTIN))
    lost = InputError(f"generator must be given: the run's model was a Python object, {model}. {remedy}")
    nameless = names_python(model) and ("prompt" not in config or not is_import(model))
    if nameless or _was_loaded_pipeline(model):
        raise lost
    try:
        yield
    except InputError as error:
        if names_python(model) and isinstance(error.__cause__, ModuleNotFoundError | AttributeError):
            raise lost from error
        raise


def _was_loaded_pipeline(model: str) -> bool:
    """Return whether a run's model is the name of a class, which pipelines that were loaded in Python leave."""
    return model.isidentifier() and model[:1].isupper() and not Path(model).exists()


def check_scene(config: RunConfig) -> None:
    """Refuse a prompt that the built-in model does not know, before anything is loaded or started.

    Raises:
        PromptError: The prompt is outside the model's small grammar.
    """
    if config.prompt:
        check_scene_prompt(config.model, config.prompt)


def make_generator(config: RunConfig) -> Generator:
    """Load the model of a config in this process, or in as many actors as the config says."""
    if not config.generators:
        return load_model(config)
    return GeneratorPool(
        partial(load_model, config),
        config.generators,
        takes=Takes(config.generator_cpus, config.generator_gpus),
        threads=config.threads,
        address=config.ray,
        runtime_env=config.ray_env,
    )


def load_model(config: RunConfig, *, steps: int | None = None, like: DiffusersGenerator | None = None) -> Generator:
    """Load the model of a config in this process.

    Args:
        config: Config of the run.
        steps: Denoising steps in place of the config's; then only the initial noise is searched.
        like: Generator of the same model, whose pipeline is used instead of loading another.
    Raises:
        InputError: The model cannot be loaded, or does not have what the config sets.
    """
    if names_python(config.model) or names_onnx(config.model):
        return _imported(config, steps)
    for own in ("prompt", "model"):
        if own in config.generator_options:
            raise InputError(f"{own} must be an option of its own, --{own}; got it as a generator option.")
    arguments = {
        "steps": steps or config.steps,
        "guidance_scale": config.guidance,
        "search": "initial" if steps else config.search,
        "batch_size": config.batch_size,
        "seed": config.seed if config.generator_seed is None else config.generator_seed,
        **({} if config.frames is None else {"frames": config.frames}),
        **{name: getattr(config, name) for name in SPEED_OPTIONS},
        **{name: value for name in GRADIENT_OPTIONS if (value := getattr(config, name)) is not None},
        **config.call_arguments,
    }
    if like is not None:
        return like.with_settings(config.prompt, **arguments)
    arguments |= {name: value for name in SOURCE_OPTIONS if (value := getattr(config, name)) is not None}
    if config.model in BUILTINS:
        return DiffusersGenerator.builtin(config.prompt, model=config.model, **arguments)
    check_is_no_module("model", config.model)
    generator = DiffusersGenerator.from_pretrained(config.model, config.prompt, **arguments)
    check_prompt(generator, config.given_prompt)
    return generator


def _imported(config: RunConfig, steps: int | None) -> Generator:
    given = [name for name in OF_PIPELINES if getattr(config, name) not in (None, False)] + (["steps"] if steps else [])
    if given:
        raise InputError(f"{given[0]} is for diffusers pipelines; {config.model} decides it itself. Leave it out.")
    size = config.batch_size if "batch_size" in config.model_fields_set else None
    if size == "auto":
        raise InputError(f"batch_size must be a number for {config.model}; got 'auto'.")
    if names_onnx(config.model):
        return OnnxGenerator(config.model, prompt=config.prompt, batch_size=size, **config.generator_options)
    return imported_generator(config.model, config.given_prompt, size, config.generator_options)
