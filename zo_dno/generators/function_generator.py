"""The function adapter: any function z -> images as a generator, such as a GAN, a video model or a server."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.generators.memory import memory_named
from zo_dno.generators.pixels import NoImageError, joined
from zo_dno.generators.returned import as_images, as_tensor, checked_floats
from zo_dno.noise.space import NoiseLayout
from zo_dno.registry import binding_of, checked_options, options_of
from zo_dno.types import balanced_slices, is_count

Shape = Sequence[int]
SUBJECTS = ("z", "noise", "latents", "x")
"""Names of the parameter that takes the noise; where a function has none of them, it is the first."""
_OWN = ("shape", "nfe", "batch_size", "to_image")  # what attributes of a function set


class FunctionGenerator:
    """A plain function z -> images as a generator.

    Args:
        function: Function from (n, d) float32 to (n, H, W, 3) uint8, or to (n, 3, H, W) float in [0, 1], as a tensor or
            a NumPy array; the same z must give the same images. With `to_image`, it may return any n numbers or arrays.
            A second parameter without a default, or one named `prompt`, receives the prompt. Rows of floats with NaN
            have no image; a function of bytes raises `NoImageError` for them.
        shape: Shape of one candidate's noise, such as (512,) or (4, 64, 64), or shapes of its draws, in their order in
            z. The tests of plausibility use these shapes.
        nfe: Number of network calls per image.
        prompt: Prompt to render, which rewards are told as well.
        batch_size: Largest number of candidates in a call. By default a call has all of a population.
        options: Values of the function's other parameters, by name.
        to_image: Function from what `function` returned to images, as above, for people and for rewards that take
            images; a reward that takes arrays gets what `function` returned.
    Raises:
        InputError: A shape or a number is out of range, or the function cannot be called with z.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        shape: Shape | Sequence[Shape],
        *,
        nfe: int = 1,
        prompt: str = "",
        batch_size: int | None = None,
        options: Mapping[str, Any] | None = None,
        to_image: Callable[[Any], Any] | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(f"function must be a function z -> images; got {given(function)}.")
        self.layout = NoiseLayout(_shapes(shape))
        for name, number in (("nfe", nfe), ("batch_size", batch_size)):
            if not (number is None and name == "batch_size") and not is_count(number):
                raise InputError(f"{name} must be a whole number of at least 1; got {number!r}.")
        if to_image is not None and not callable(to_image):
            raise InputError(f"to_image must be a function from arrays to images; got {given(to_image)}.")
        self.nfe, self.prompt, self.batch_size = nfe, prompt, batch_size
        self.model = str(getattr(function, "__name__", type(function).__name__))
        self._function, self._to_image = function, to_image
        self._options = dict(options or {})
        self._bound = binding_of(function, SUBJECTS, self._options, rest=("subject",))
        self._check_options()
        self._size: tuple[int, ...] | None = None
        self.probed = False
        self._offer_arrays()

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        target: Any = self._function if hasattr(self._function, "__qualname__") else type(self._function)
        shapes = [list(shape) for shape in self.layout.shapes]
        return {
            "model": f"{target.__module__}:{target.__qualname__}",
            "prompt": self.prompt,
            "generator_options": {"shape": shapes, "nfe": self.nfe, **self._options},
        } | ({} if self.batch_size is None else {"batch_size": self.batch_size})

    @property
    def takes_prompt(self) -> bool:
        """Whether the function takes a prompt."""
        return self._bound.takes_prompt

    def with_prompt(self, prompt: str, batch_size: int | None = None) -> "FunctionGenerator":
        """Return a generator of the same function for another prompt, and for another batch size if given."""
        other = copy.copy(self)
        other.prompt, other.batch_size = prompt, batch_size or self.batch_size
        other._offer_arrays()
        return other

    def __call__(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, H, W, 3) uint8.

        Raises:
            NoImageError: Some candidates have no image.
            InputError: The function does not return images, or memory does not suffice.
        """
        return self._rendered(z)[0]

    def render(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, 3, H, W) float in [0, 1], differentiable where the function is.

        Raises:
            InputError: The function returns bytes.
        """
        self.layout.check(z)
        images = []
        for rows in balanced_slices(len(z), self.batch_size or len(z)):
            block = self._images(self._called(z[rows]), rows)
            if not block.is_floating_point():
                raise InputError(f"{self.model} must give floats for its gradient; got {block.dtype}.")
            images.append(checked_floats(block, self._image_name))
        return torch.cat(images)

    def _offer_arrays(self) -> None:
        if self._to_image is not None:
            self.render_arrays = self._rendered

    def _rendered(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Render `z` (n, d) as images, (n, H, W, 3) uint8, and as what the function returns, (n, ...).

        Raises:
            NoImageError: Some candidates have no image.
        """
        self.layout.check(z)
        images: list[Tensor] = []
        arrays: list[Tensor] = []
        reasons: dict[int, str] = {}
        with torch.no_grad():
            for rows in balanced_slices(len(z), self.batch_size or len(z)):
                returned, missing = self._called_or_missing(z[rows])
                try:
                    images.append(as_images(self._images(returned, rows), self._image_name))
                except NoImageError as error:
                    images.append(error.images)
                    missing = dict(error.reasons) | missing
                if self._to_image is not None:
                    arrays.append(returned.detach().cpu())
                reasons |= {row + rows.start: reason for row, reason in missing.items()}
                self._check_size(images[-1])
        together = torch.cat(arrays or images)
        return joined(images, reasons, together), together

    def _called_or_missing(self, z: Tensor) -> tuple[Tensor, dict[int, str]]:
        """Call the function; rows without an image are 0, with their reasons."""
        try:
            return self._called(z), {}
        except NoImageError as error:
            returned = error.images.clone()
            returned[list(error.reasons)] = 0
            return returned, dict(error.reasons)

    def _called(self, z: Tensor) -> Tensor:
        with memory_named(self):
            returned = self._bound.call(self._function, z, self.prompt, self._options)
        return as_tensor(returned, len(z), self.model, arrays=self._to_image is not None)

    def _images(self, returned: Tensor, rows: slice) -> Tensor:
        if self._to_image is None:
            return returned
        return as_tensor(self._to_image(returned), rows.stop - rows.start, self._image_name, arrays=False)

    @property
    def _image_name(self) -> str:
        return self.model if self._to_image is None else f"to_image of {self.model}"

    def _check_size(self, images: Tensor) -> None:
        size = tuple(images.shape[1:3])
        if self._size not in (None, size):
            raise InputError(f"{self._image_name} must give images of one size; got {size} after {self._size}.")
        self._size = size

    def _check_options(self) -> None:
        """Check the options, and convert text to the types of the function's parameters."""
        try:
            known = options_of(self._function, self._bound.internal)
        except (TypeError, ValueError):  # a builtin without a signature
            return
        needed = [name for name, one in known.items() if one.default is one.empty and name not in self._options]
        if needed:
            raise InputError(
                f"{self.model} must take (z) or (z, prompt), and options; got no value for its parameter "
                f"{needed[0]!r}. Give it a default, or the option {needed[0]}=..."
            )
        if self._options:
            self._options = checked_options(self.model, self._function, self._options, self._bound.internal)


def _shapes(shape: Shape | Sequence[Shape]) -> tuple[tuple[int, ...], ...]:
    listed = shape if _is_list(shape) else ()
    several = bool(listed) and all(map(_is_list, listed))
    shapes = [tuple(one) for one in cast(Sequence[Shape], listed)] if several else [tuple(cast(Shape, listed))]
    if not all(one and all(map(is_count, one)) for one in shapes):
        such = f" Write ({int(cast(int, shape))},)." if is_count(shape) else ""
        raise InputError(
            f"shape must be sizes of at least 1, such as (4, 64, 64), or several shapes; got {given(shape)}.{such}"
        )
    return tuple(shapes)


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def of_function(
    function: Callable[..., Any], options: Mapping[str, Any], prompt: str = "", batch_size: int | None = None
) -> FunctionGenerator:
    """Make the generator of a function, from options and from its attributes `shape`, `nfe`, `batch_size`, `to_image`.

    Raises:
        InputError: An option is unknown, there is no shape, or the function takes a prompt and there is none.
    """
    name = str(getattr(function, "__name__", type(function).__name__))
    own = {one: getattr(function, one) for one in _OWN if hasattr(function, one)}
    own |= {one: value for one, value in options.items() if one in ("shape", "nfe")}
    others = {one: value for one, value in options.items() if one not in own}
    try:
        bound = binding_of(function, SUBJECTS, others, rest=("subject",))
        known = options_of(function, bound.internal)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        known = {}  # a builtin without a signature
    for one in others:
        if one not in known:
            raise unknown_name("generator option", one, ("shape", "nfe", *known))
    if "shape" not in own:
        raise InputError(
            f"{name} must have a shape of noise: set {name}.shape = (512,), or give --generator-option 'shape=[512]', "
            "or FunctionGenerator(function, shape) in Python."
        )
    if batch_size is not None:
        own["batch_size"] = batch_size
    return FunctionGenerator(function, **own, prompt=prompt, options=others)
