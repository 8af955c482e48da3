"""The function adapter: any function z -> images as a generator, such as a GAN, a video model or a server."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.generators.batch_size import is_count
from zo_dno.generators.memory import memory_named
from zo_dno.generators.pixels import NoImageError, bytes_of, joined
from zo_dno.noise.space import NoiseLayout
from zo_dno.registry import n_positional
from zo_dno.storage.images import checked_images
from zo_dno.types import balanced_slices

Shape = Sequence[int]
_ROOM = 1e-3  # outside of [0, 1], for rounding in half precision
_IMAGES = "(n, H, W, 3) of uint8, or as (n, 3, H, W) of floats in [0, 1]"


class FunctionGenerator:
    """A plain function z -> images as a generator.

    Args:
        function: Function from (n, d) float32 to (n, H, W, 3) uint8, or to (n, 3, H, W) float in [0, 1]; the same z
            must give the same images. A second parameter receives the prompt. Rows of floats with NaN have no image; a
            function of bytes raises `NoImageError` for them.
        shape: Shape of one candidate's noise, such as (512,) or (4, 64, 64), or shapes of its draws, in their order in
            z. The tests of plausibility use these shapes.
        nfe: Number of network calls per image.
        prompt: Prompt to render, which rewards are told as well.
        batch_size: Largest number of candidates in a call. By default a call has all of a population.
    Raises:
        InputError: A shape or a number is out of range.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        shape: Shape | Sequence[Shape],
        *,
        nfe: int = 1,
        prompt: str = "",
        batch_size: int | None = None,
    ) -> None:
        self.layout = NoiseLayout(_shapes(shape))
        for name, number in (("nfe", nfe), ("batch_size", batch_size)):
            if not (number is None and name == "batch_size") and not is_count(number):
                raise InputError(f"{name} must be a whole number of at least 1; got {number!r}.")
        self.nfe, self.prompt, self.batch_size = nfe, prompt, batch_size
        self.model = str(getattr(function, "__name__", type(function).__name__))
        self._function = function
        self._takes_prompt = n_positional(function) > 1

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        target: Any = self._function if hasattr(self._function, "__qualname__") else type(self._function)
        return {
            "model": f"{target.__module__}:{target.__qualname__}",
            "prompt": self.prompt,
            "generator_options": {"shape": [list(shape) for shape in self.layout.shapes], "nfe": self.nfe},
        } | ({} if self.batch_size is None else {"batch_size": self.batch_size})

    def with_prompt(self, prompt: str, batch_size: int | None = None) -> "FunctionGenerator":
        """Return a generator of the same function for another prompt, and for another batch size if given."""
        shapes, size = self.layout.shapes, batch_size or self.batch_size
        return FunctionGenerator(self._function, shapes, nfe=self.nfe, prompt=prompt, batch_size=size)

    def __call__(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, H, W, 3) uint8.

        Raises:
            NoImageError: Some candidates have no image.
            InputError: The function does not return images, or memory does not suffice.
        """
        self.layout.check(z)
        images: list[Tensor] = []
        reasons: dict[int, str] = {}
        with torch.no_grad():
            for rows in self._blocks(len(z)):
                try:
                    block = self._bytes(self._render(z[rows]))
                except NoImageError as error:
                    block = error.images.cpu()
                    reasons |= {row + rows.start: reason for row, reason in error.reasons.items()}
                images.append(block)
        return joined(images, reasons)

    def render(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, 3, H, W) float in [0, 1], differentiable where the function is.

        Raises:
            InputError: The function returns bytes.
        """
        self.layout.check(z)
        images = []
        for rows in self._blocks(len(z)):
            block = self._render(z[rows])
            if not block.is_floating_point():
                raise InputError(f"{self.model} must give floats for its gradient; got {block.dtype}.")
            images.append(self._checked(block))
        return torch.cat(images)

    def _blocks(self, n: int) -> Sequence[slice]:
        return balanced_slices(n, self.batch_size or n)

    def _render(self, z: Tensor) -> Tensor:
        with memory_named(self):
            images: Any = self._function(z, self.prompt) if self._takes_prompt else self._function(z)
        if not isinstance(images, Tensor):
            remedy = " Convert it with torch.from_numpy." if hasattr(images, "__array__") else ""
            raise InputError(f"{self.model} must give images as {_IMAGES}; got {type(images).__name__}.{remedy}")
        if not images.ndim or len(images) != len(z):
            raise InputError(f"{self.model} must give an image for each of {len(z)} rows; got {tuple(images.shape)}.")
        return images

    def _checked(self, images: Tensor) -> Tensor:
        """Check floats (n, 3, H, W)."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise InputError(
                f"{self.model} must give images as {_IMAGES}; got {tuple(images.shape)} of {images.dtype}."
            )
        low, high = (float(edge) for edge in images.detach().nan_to_num().aminmax())
        if low < -_ROOM or high > 1 + _ROOM:
            raise InputError(
                f"{self.model} must give floats in [0, 1]; got {low:.3g} to {high:.3g}. Of a network that gives "
                "[-1, 1] take (x / 2 + 0.5).clamp(0, 1)."
            )
        return images

    def _bytes(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            checked_images(images, len(images))
            return images.cpu()
        return bytes_of(self._checked(images))


def _shapes(shape: Shape | Sequence[Shape]) -> tuple[tuple[int, ...], ...]:
    given = shape if _is_list(shape) else ()
    several = bool(given) and all(map(_is_list, given))
    shapes = [tuple(one) for one in cast(Sequence[Shape], given)] if several else [tuple(cast(Shape, given))]
    if not all(one and all(map(is_count, one)) for one in shapes):
        raise InputError(f"shape must be sizes of at least 1, such as (4, 64, 64), or several shapes; got {shape!r}.")
    return tuple(shapes)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def options_from(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a FunctionGenerator: those given, or the function's attributes `shape` and `nfe`.

    Raises:
        InputError: One is unknown, or there is no shape.
    """
    own = {name: getattr(function, name) for name in ("shape", "nfe") if hasattr(function, name)}
    for name in options:
        if name not in ("shape", "nfe"):
            raise unknown_name("generator option", name, ("shape", "nfe"))
    found = own | dict(options)
    if "shape" not in found:
        name = getattr(function, "__name__", repr(function))
        raise InputError(
            f"{name} must have a shape of noise: set {name}.shape = (512,), or give --generator-option 'shape=[512]'."
        )
    return found
