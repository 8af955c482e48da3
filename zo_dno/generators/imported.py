"""Generators that a config names as package.module:name: functions z -> images, generators and their classes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.function_generator import FunctionGenerator, options_from
from zo_dno.registry import checked_options, load, options_of
from zo_dno.types import Generator, Repromptable, batch_size_of, capabilities_of, prompt_of


def names_python(model: str) -> bool:
    """Return whether a model is named as package.module:name."""
    return ":" in model and not Path(model).exists()


def imported_generator(name: str, prompt: str, batch_size: int | None, options: Mapping[str, Any]) -> Generator:
    """Make the generator of a name.

    Args:
        name: Name, package.module:name, of a function z -> images, of a Generator, or of a class of generators.
        prompt: Prompt to render; "" keeps that of a generator.
        batch_size: Batch size for a function; by default its own.
        options: Options: `shape` and `nfe` of a function, or those of a class.
    Raises:
        InputError: The name is unknown, its object cannot be a generator, or it renders another prompt.
    """
    found: Any = load("model", {}, name)
    if isinstance(found, type):
        takes_prompt = "prompt" in options_of(found)
        own = {"prompt": prompt} if takes_prompt else {}
        if takes_prompt and prompt and options.get("prompt", prompt) != prompt:
            raise InputError(
                f"prompt must be given once; got {prompt!r}, and {options['prompt']!r} as an option of {name}. "
                "Leave the option out."
            )
        found = found(**checked_options(name, found, own | dict(options)))
        found = found if takes_prompt else _for_prompt(name, found, prompt)
    elif not isinstance(found, Generator):
        if not callable(found):
            raise InputError(f"model {name!r} must be a function z -> images or a generator; got {found!r}.")
        function = cast("Callable[..., Tensor]", found)
        made = options_from(function, options)
        wrapped = FunctionGenerator(function, **made, prompt=prompt, batch_size=batch_size)
        return Imported(wrapped, name, prompt, options)
    elif options:
        raise InputError(f"model {name!r} takes no options; got {', '.join(options)}.")
    elif isinstance(found, FunctionGenerator):
        found = found.with_prompt(prompt or found.prompt, batch_size)
    else:
        found = _for_prompt(name, found, prompt)
    if not isinstance(found, Generator):
        raise InputError(f"model {name!r} must have layout, nfe and a call z -> images; got {type(found).__name__}.")
    return Imported(found, name, prompt or prompt_of(found), options)


def _for_prompt(name: str, found: Any, prompt: str) -> Any:
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
            f"prompt must be {own!r}, which model {name!r} renders: it has no with_prompt(prompt); got {prompt!r}."
        )
    return found


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
