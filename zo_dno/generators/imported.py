"""Generators that a config names as package.module:name: functions, generators, pipelines, classes and factories."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zo_dno.errors import InputError, given
from zo_dno.generators.function_generator import SUBJECTS, FunctionGenerator, of_function
from zo_dno.generators.given import as_generator, check_prompt, for_prompt, is_pipeline
from zo_dno.registry import PROMPTS, is_factory, load, made_by, options_of
from zo_dno.types import Generator, Repromptable, batch_size_of, capabilities_of, prompt_of


def names_python(model: str) -> bool:
    """Return whether a model is named as package.module:name."""
    return ":" in model and not Path(model).exists()


def imported_generator(name: str, prompt: str | None, batch_size: int | None, options: Mapping[str, Any]) -> Generator:
    """Make the generator of a name.

    Args:
        name: Name, package.module:name, of a function z -> images, of a generator or a pipeline, or of a class or a
            function that makes one of these from options.
        prompt: Prompt to render; None or "" keeps that of a generator.
        batch_size: Batch size; by default the generator's own.
        options: Options: `shape`, `nfe` and further parameters of a function, or those of a class or a factory.
    Raises:
        InputError: The name is unknown, its object cannot be a generator, or it renders another prompt.
    """
    found: Any = load("model", {}, name)
    left, prompt = dict(options), prompt or ""
    if isinstance(found, type) or _makes_generators(found, left):
        found, left = _made(name, found, prompt, left), {}
    if isinstance(found, Generator) and not isinstance(found, type):
        made: Any = found
    elif is_pipeline(found):
        made = as_generator(found, prompt or None)
    elif callable(found):
        made, left = of_function(found, left, prompt), {}
        check_prompt(made, prompt or None)
    else:
        raise InputError(
            f"model {name!r} must be a function z -> images, or have layout, nfe and a call z -> images; got "
            f"{given(found)}."
        )
    if left:
        raise InputError(f"model {name!r} takes no options; got {', '.join(left)}.")
    made = for_prompt(f"model {name!r}", made, prompt)
    return Imported(_with_batch_size(name, made, batch_size), name, prompt or prompt_of(made), options)


def _makes_generators(found: Any, options: Mapping[str, Any]) -> bool:
    """Return whether a function makes a generator, rather than being one: it has no shape and takes no noise."""
    has_shape = hasattr(found, "shape") or ("shape" in options and "shape" not in _names_of(found))
    return not has_shape and is_factory(found, SUBJECTS, (*options, *PROMPTS))


def _names_of(function: Any) -> tuple[str, ...]:
    try:
        return tuple(options_of(function))
    except (TypeError, ValueError):  # a builtin without a signature, or no function
        return ()


def _made(name: str, make: Any, prompt: str, options: Mapping[str, Any]) -> Any:
    """Call a class or a factory with the options, and the prompt if it takes one.

    Raises:
        InputError: An option does not fit, the prompt is given twice or is missing, or it raises.
    """
    parameter = options_of(make).get("prompt")
    if parameter is None:
        return made_by("model", name, make, options)
    if prompt and options.get("prompt", prompt) != prompt:
        raise InputError(
            f"prompt must be given once; got {prompt!r}, and {options['prompt']!r} as an option of {name}. "
            "Leave the option out."
        )
    needs = parameter.default is parameter.empty
    if needs and not prompt and "prompt" not in options:
        raise InputError(f"prompt is missing; {name} takes one. Give --prompt or write it into the config file.")
    return made_by("model", name, make, ({"prompt": prompt} if prompt else {}) | dict(options))


def _with_batch_size(name: str, generator: Generator, batch_size: int | None) -> Generator:
    """Return a generator that renders at most so many images at once.

    Raises:
        InputError: It has a batch size of its own.
    """
    if batch_size is None or batch_size_of(generator) == batch_size:
        return generator
    if isinstance(generator, FunctionGenerator):
        return generator.with_prompt(generator.prompt, batch_size)
    raise InputError(
        f"batch_size must be left to {name}, which has {batch_size_of(generator)}; got {batch_size}. Leave it out."
    )


class Imported:
    """A generator together with the name that a config has for it.

    Args:
        generator: Generator that renders, whose capabilities are kept.
        name: Name, package.module:name.
        prompt: Prompt of the config.
        options: Options that the config has for the generator.
    """

    prompt: str
    model: str
    settings: Mapping[str, Any]

    def __init__(self, generator: Generator, name: str, prompt: str, options: Mapping[str, Any]) -> None:
        self._generator, self._options = generator, dict(options)
        self.layout, self.nfe = generator.layout, generator.nfe
        batch_size = batch_size_of(generator)
        own = {} if batch_size is None else {"batch_size": batch_size}
        settings = {"model": name, "prompt": prompt, "generator_options": self._options, **own}
        known = capabilities_of(generator) | {"model": name, "prompt": prompt, "settings": settings}
        vars(self).update({key: value for key, value in known.items() if key != "with_prompt"})

    def with_prompt(self, prompt: str) -> "Imported":
        """Return the same generator for another prompt.

        Raises:
            InputError: The generator has no other prompts.
        """
        if not isinstance(self._generator, Repromptable):
            raise InputError(f"prompts must not be given for {self.model}, which has no with_prompt(prompt).")
        return Imported(self._generator.with_prompt(prompt), self.model, prompt, self._options)

    def __call__(self, z: Tensor) -> Tensor:
        return self._generator(z)
