"""The actor that renders: a generator that is loaded once, in a process of its own."""

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.failures import Failure
from zo_dno.generators.pixels import has_gradient, vjp_of
from zo_dno.generators.renderer import render_images
from zo_dno.oracle.call import call
from zo_dno.types import (
    Described,
    Differentiable,
    Generator,
    HasVjp,
    Probed,
    Rendered,
    RendersArrays,
    Repromptable,
    Score,
    array_of,
    batch_size_of,
    model_of,
    prompt_of,
)

if TYPE_CHECKING:
    from zo_dno.reward import Reward

Cotangent = Callable[[Tensor], Tensor]
_PROMPTS = 16  # prompts whose encodings an actor keeps


class _Heard(logging.Handler):
    """Keeps the warnings of zo-dno, which an actor's process does not show.

    Args:
        remarks: List that takes the warnings.
    """

    logger = "zo_dno"

    def __init__(self, remarks: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._remarks = remarks

    def emit(self, record: logging.LogRecord) -> None:
        self._remarks.append(record.getMessage())


class RenderingActor:
    """Renders images and takes gradients through one generator.

    Args:
        make: Function that loads the generator.
        threads: Number of threads.
    """

    def __init__(self, make: Callable[[], Generator], threads: int) -> None:
        torch.set_num_threads(threads)
        self._make, self._others = make, dict[str, Generator]()
        self._remarks: list[str] = []

    def ready(self) -> None:
        """Return once the actor has started."""

    @cached_property
    def _loaded(self) -> Generator:
        heard = _Heard(self._remarks)
        logger = logging.getLogger(heard.logger)
        logger.addHandler(heard)
        try:
            return self._make()
        finally:
            logger.removeHandler(heard)

    def _generator(self, prompt: str) -> Generator:
        loaded = self._loaded
        if prompt == prompt_of(loaded):
            return loaded
        if prompt not in self._others:
            if len(self._others) >= _PROMPTS:
                self._others.pop(next(iter(self._others)))
            assert isinstance(loaded, Repromptable)
            self._others[prompt] = loaded.with_prompt(prompt)
        return self._others[prompt]

    def describe(self) -> dict[str, Any]:
        """Return what the run has to know about the generator."""
        made = self._loaded
        return {
            "shapes": made.layout.shapes,
            "nfe": made.nfe,
            "prompt": prompt_of(made),
            "model": model_of(made),
            "settings": made.settings if isinstance(made, Described) else None,
            "batch_size": batch_size_of(made),
            "has_vjp": isinstance(made, HasVjp),
            "renders_arrays": isinstance(made, RendersArrays),
            "probed": isinstance(made, Probed) and made.probed,
            "remarks": self._remarks,
        }

    def render_images(self, noise: np.ndarray, prompt: str, reward: "Reward | None") -> tuple[Any, ...]:
        """Return the images' hashes and first calls as one value, and then every image as a value of its own.

        The images are followed by the arrays behind them, where the generator gives any.
        """
        rendered = render_images(self._generator(prompt), torch.from_numpy(noise.copy()))
        described = [(one.sha256, _first_call(one, prompt, reward), one.no_image) for one in rendered]
        arrays = [one.array for one in rendered if one.array is not None]
        return described, *(np.copy(array_of(one)) for one in (*(one.image for one in rendered), *arrays))

    def has_gradient(self, prompt: str) -> bool:
        """Return whether images have a gradient with respect to their noise."""
        return has_gradient(self._generator(prompt))

    def vjp(self, noise: np.ndarray, prompt: str, cotangent: Cotangent) -> Tensor:
        """Return J(z)^T h, (n, d)."""
        generator = self._generator(prompt)
        assert isinstance(generator, HasVjp | Differentiable)
        return vjp_of(generator, torch.from_numpy(noise.copy()), cotangent)


def _first_call(rendered: Rendered, prompt: str, reward: "Reward | None") -> list[Score] | Failure | None:
    """Score what was rendered, if there is a reward to score it with."""
    if reward is None or rendered.no_image:
        return None
    return call(reward, [array_of(rendered.given(arrays=reward.takes_arrays))], [prompt])
