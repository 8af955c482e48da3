"""The built-in model: its names, what it is loaded from, and what it takes."""

from typing import Any

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.generators.diffusers_import import pipeline_class
from zo_dno.generators.load_failures import loading
from zo_dno.generators.torchvision_check import without_broken_torchvision
from zo_dno.scenes import (
    ALIASES,
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    LARGE_AUTOENCODER,
    LARGE_SIDE,
    PIPELINE_FOLDER,
    SIDES,
)

BUILTIN = next(iter(SIDES))
BUILTINS = (*SIDES, *ALIASES)


def check_scene_prompt(model: str, prompt: str) -> None:
    """Refuse a prompt that is no text, or that a model does not understand where it is the built-in one.

    Raises:
        InputError: The prompt is no text.
        PromptError: The prompt is outside the model's small grammar.
    """
    if not isinstance(prompt, str):
        raise InputError(f"prompt must be text; got {given(prompt)}.")
    if model in BUILTINS:
        from zo_dno.scenes.grammar import parse

        parse(prompt)


def arguments_of_call(
    steps: int | None, guidance_scale: float | None, negative_prompt: str | None
) -> dict[str, int | float]:
    """Return steps and guidance of the built-in model, its own where they are None.

    Raises:
        InputError: A negative prompt was given without guidance.
    """
    guidance_scale = DEFAULT_GUIDANCE if guidance_scale is None else guidance_scale
    if negative_prompt is not None and guidance_scale <= 1:
        raise InputError(
            f"negative_prompt must come with guidance above 1; got guidance {guidance_scale}, at which it has no "
            "effect. 1.25 suits the built-in model."
        )
    return {"steps": DEFAULT_STEPS if steps is None else steps, "guidance_scale": guidance_scale}


def sized(model: str) -> str:
    """Return the name with the size of the images.

    Raises:
        InputError: No built-in model has the name.
    """
    if model not in BUILTINS:
        raise unknown_name("built-in model", model, BUILTINS)
    return ALIASES.get(model, model)


def source_of(model: str, *, own_autoencoder: bool) -> Any:
    """Return what the model is made from: its folder, or the loaded pipeline with the larger autoencoder.

    Args:
        model: Name with the size of the images.
        own_autoencoder: Whether the caller gives an autoencoder.
    """
    if SIDES[model] != LARGE_SIDE or own_autoencoder:
        return PIPELINE_FOLDER
    with without_broken_torchvision(), loading("model", model, "Check the installation of diffusers."):
        pipeline_class()
        from zo_dno.scenes.pipeline import load

        return load(autoencoder=LARGE_AUTOENCODER)
