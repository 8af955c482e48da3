"""The models that callers give: generators, diffusers pipelines, functions and ONNX sessions, made generators."""

from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, given
from zo_dno.generators.function_generator import of_function
from zo_dno.generators.onnx_generator import OnnxGenerator, is_session, names_onnx
from zo_dno.types import Generator, Repromptable, prompt_of


def as_generator(model: Any, prompt: str | None = None) -> Generator:
    """Return a generator of what a caller gave.

    Args:
        model: Generator, loaded pipeline of diffusers, function z -> images with an attribute `shape`, or session or
            file of an ONNX model.
        prompt: Prompt to render; None keeps that of a generator.
    Raises:
        InputError: It is something else, it has no shape, or the prompt is missing or does not fit.
    """
    if isinstance(model, type):
        name = model.__name__
        raise InputError(f"generator must be an object; got the class {name}. Make one: {name}(...).")
    if isinstance(model, Generator):
        found: Generator = for_prompt(f"generator {type(model).__name__}", model, prompt or "")
        return found
    if is_pipeline(model):
        return _of_pipeline(model, prompt)
    if is_session(model) or (isinstance(model, str | Path) and names_onnx(str(model))):
        return OnnxGenerator(model, prompt=prompt or "")
    if isinstance(model, str | Path):
        raise InputError(
            f"generator must be an object, not a name; got {given(str(model))}. Load it: "
            "zo_dno.DiffusersGenerator(name, prompt), or DiffusersGenerator.builtin(prompt)."
        )
    if callable(model):
        made = of_function(model, {}, prompt or "")
        check_prompt(made, prompt)
        return made
    raise InputError(
        "generator must be a zo_dno generator, a diffusers pipeline, or a function z -> images with a shape; got "
        f"{given(model)}."
    )


def is_pipeline(model: object) -> bool:
    """Return whether an object is a loaded pipeline of diffusers, which is not imported for that."""
    return any(
        one.__name__ in ("DiffusionPipeline", "ModularPipeline") and one.__module__.startswith("diffusers.")
        for one in type(model).__mro__
    )


def _of_pipeline(pipeline: Any, prompt: str | None) -> Generator:
    from zo_dno.generators.diffusers_generator import DiffusersGenerator
    from zo_dno.generators.pipeline_call import takes_prompt

    name = type(pipeline).__name__
    if prompt is None and takes_prompt(pipeline):
        raise InputError(
            f"prompt must be given with a {name}: optimize(pipeline, reward, prompt='a lighthouse'). For other "
            "settings than the pipeline's own, pass DiffusersGenerator(pipeline, prompt, steps=..., ...)."
        )
    return DiffusersGenerator(pipeline, prompt or "")


def check_prompt(generator: Generator, prompt: str | None) -> None:
    """Check that a generator that needs a prompt has one.

    Raises:
        InputError: It has none.
    """
    if prompt is None and getattr(generator, "takes_prompt", False):
        raise InputError(
            f"prompt is missing; {getattr(generator, 'model', 'the model')} takes one. Give prompt=... in Python, "
            "--prompt, or write it into the config file."
        )


def for_prompt(name: str, found: Any, prompt: str) -> Any:
    """Return a generator that renders a prompt; without one, its own.

    Raises:
        InputError: The generator renders another prompt, and has no with_prompt.
    """
    own = prompt_of(found)
    if not prompt or own == prompt:
        return found
    if isinstance(found, Repromptable):
        return found.with_prompt(prompt)
    if own:
        raise InputError(
            f"prompt must be {own!r}, which {name} renders: it has no with_prompt(prompt); got {prompt!r}."
        )
    return found
