"""Call arguments without effect: what a pipeline accepts and ignores."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError, given
from zo_dno.generators.remarks import say
from zo_dno.generators.tape import TapeError, schedulers_of

_NOT_TRIED = ("num_inference_steps", "height", "width", "num_frames")  # without them it would be another call
_GUIDED = "do_classifier_free_guidance"


def say_what_is_ignored(
    pipeline: Any, arguments: Mapping[str, Any], render_without: Callable[[str], Tensor], images: Tensor
) -> None:
    """Leave out every argument that was given, and say of which the images stay the same.

    Only numbers and texts that differ from the call's own defaults are tried, each for the price of one call.

    Args:
        pipeline: Pipeline of diffusers.
        arguments: Arguments of its call.
        render_without: Function that renders the same images without an argument.
        images: Images with all arguments.
    """
    known = inspect.signature(pipeline.__call__).parameters
    for name, value in arguments.items():
        if not _worth_trying(pipeline, known[name], value):
            continue
        try:
            with torch.no_grad():
                without = render_without(name)
        except (InputError, TapeError, TypeError, ValueError, AttributeError, KeyError, RuntimeError):
            continue  # the pipeline needs it
        if torch.equal(without, images):
            say(
                pipeline,
                f"{name} {given(value)} has no effect on {type(pipeline).__name__} with {_scheduler(pipeline)}: "
                f"without it, the images are the same.{_remedy(pipeline, name)}",
            )


def say_what_is_not_searched(pipeline: Any) -> None:
    """Say that no noise of the steps is searched, and what would add some."""
    scheduler = _scheduler(pipeline)
    say(
        pipeline,
        f"search 'all' searches the initial noise alone: no noise in the steps of {scheduler} changes the image."
        f"{_noisy_steps(pipeline)}",
    )


def _worth_trying(pipeline: Any, parameter: inspect.Parameter, value: Any) -> bool:
    if parameter.name in _NOT_TRIED or parameter.default is parameter.empty:
        return False
    if parameter.name == "guidance_scale" and hasattr(pipeline, _GUIDED):
        return False  # it decides whether the denoiser is called twice
    return isinstance(value, str | int | float) and value not in ("", parameter.default)


def _scheduler(pipeline: Any) -> str:
    return ", ".join(type(one).__name__ for one in schedulers_of(pipeline).values()) or "no scheduler"


def _remedy(pipeline: Any, name: str) -> str:
    if "negative" in name:
        known = inspect.signature(pipeline.__call__).parameters
        scale = "true_cfg_scale" if "true_cfg_scale" in known else "guidance"
        return f" It needs {scale} above 1, and a model that was trained for it."
    if name == "eta":
        return " DDIMScheduler is one that takes it."
    return " Leave it out."


def _noisy_steps(pipeline: Any) -> str:
    takes_eta = "eta" in inspect.signature(pipeline.__call__).parameters
    if takes_eta and any("eta" in _options_of_step(one) for one in schedulers_of(pipeline).values()):
        return " Give it some with eta=1 (--generator-option eta=1)."
    if any("stochastic_sampling" in one.config for one in schedulers_of(pipeline).values()):
        return " Give it some with the scheduler option stochastic_sampling=true."
    ddim = ", or DDIMScheduler with eta=1" if takes_eta else ""
    return f" Use a scheduler that adds some, such as EulerAncestralDiscreteScheduler{ddim}."


def _options_of_step(scheduler: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(scheduler.step).parameters
