"""A model that a config names as package.module:name: a function z -> images, a generator, or a class of generators."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.function_generator import FunctionGenerator, options_from
from zo_dno.registry import checked_options, load, options_of
from zo_dno.types import Generator


def names_python(model: str) -> bool:
    """Tell whether a model is named as package.module:name."""
    return ":" in model and not Path(model).exists()


def imported_generator(name: str, prompt: str, batch_size: int | None, options: Mapping[str, Any]) -> Generator:
    """Make the generator that a name stands for.

    Args:
        name: package.module:name of a function z -> images, of a Generator, or of a class of them.
        prompt: what to draw.
        batch_size: of a function; by default its own.
        options: `shape` and `nfe` of a function, or a class's options.
    Raises:
        InputError: there is nothing of this name, or it cannot be a generator.
    """
    found: Any = load("model", {}, name)
    if isinstance(found, type):
        own = {"prompt": prompt} if "prompt" in options_of(found) else {}
        found = found(**checked_options(name, found, own | dict(options)))
    elif not isinstance(found, Generator):
        if not callable(found):
            raise InputError(f"model {name!r} must be a function z -> images or a generator; got {found!r}.")
        function = cast("Callable[..., Tensor]", found)
        made = options_from(function, options)
        drawing = FunctionGenerator(function, **made, prompt=prompt, batch_size=batch_size)
        return Imported(drawing, name, prompt, options)
    elif options:
        raise InputError(f"model {name!r} takes no options; got {', '.join(options)}.")
    elif isinstance(found, FunctionGenerator):
        found = found.with_prompt(prompt, batch_size)
    if not isinstance(found, Generator):
        raise InputError(f"model {name!r} must have layout, nfe and a call z -> images; got {type(found).__name__}.")
    return Imported(found, name, prompt, options)


class Imported:
    """A generator together with the name that a config has for it."""

    def __init__(self, generator: Generator, name: str, prompt: str, options: Mapping[str, Any]) -> None:
        self._generator, self.model, self.prompt = generator, name, prompt
        batch_size = getattr(generator, "batch_size", None)
        own = {} if batch_size is None else {"batch_size": batch_size}
        self.settings = {"model": name, "prompt": prompt, "generator_options": dict(options), **own}
        self.layout, self.nfe = generator.layout, generator.nfe

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # while it is being copied there is nothing yet to ask
            raise AttributeError(name)
        return getattr(self._generator, name)

    def with_prompt(self, prompt: str) -> "Imported":
        """Return the same that draws another prompt.

        Raises:
            InputError: the generator has no prompt.
        """
        other = getattr(self._generator, "with_prompt", None)
        if other is None:
            raise InputError(f"prompts must not be given for {self.model}, which has no with_prompt(prompt).")
        return Imported(other(prompt), self.model, prompt, self.settings["generator_options"])

    def __call__(self, z: Any) -> Any:
        """Draw the images of `z` (n, d) as (n, H, W, 3) uint8."""
        return self._generator(z)
