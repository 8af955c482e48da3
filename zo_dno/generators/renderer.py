"""Renderers: the images of blocks of noise, rendered here or in a thread."""

import time
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zo_dno.errors import InputError
from zo_dno.failures import text_of
from zo_dno.generators.memory import memory_named
from zo_dno.generators.pixels import NoImageError, bytes_of, render_floats
from zo_dno.storage.images import checked_images, image_hash
from zo_dno.threads import ThreadPool
from zo_dno.types import Differentiable, Rendered, RendersArrays

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zo_dno.types import Generator

Block = Future[list[Rendered]]


@runtime_checkable
class Renderer(Protocol):
    """Renders blocks of noise, in this process or in others.

    Attributes:
        ahead: Number of blocks to keep in flight.
    """

    ahead: int

    @property
    def busy(self) -> float:
        """Seconds in which something was being rendered."""
        ...

    def begin(self, z: "Tensor", image_noise: "Tensor | None" = None) -> Block:
        """Begin to render `z` (n, d), at most a batch; `image_noise` (n, 3, H, W) is added to the images."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class GradientRenderer(Renderer, Protocol):
    """A renderer that takes gradients of several blocks of noise at the same time."""

    def has_gradient(self) -> bool:
        """Return whether images have a gradient with respect to their noise."""
        ...

    def vjps(self, blocks: "Sequence[Tensor]", cotangent: "Callable[[Tensor], Tensor]") -> "list[Tensor]":
        """Return J(z)^T h of every block, (n, d) on the CPU; `cotangent` gives h for the images of a block."""
        ...


class LocalRenderer:
    """Renders in this process, block by block, at once or in a thread of its own.

    Args:
        generator: Generator to render with.
        in_background: Whether to render in a thread, which helps where responses are awaited meanwhile.
    """

    def __init__(self, generator: "Generator", *, in_background: bool = False) -> None:
        self._generator = generator
        self._thread = ThreadPool(1, "zo-dno rendering") if in_background else None
        self.ahead = 2 if in_background else 1  # so that the thread never waits for work
        self.busy = 0.0

    def begin(self, z: "Tensor", image_noise: "Tensor | None" = None) -> Block:
        if self._thread is not None:
            return self._thread.submit(self._render, z, image_noise)
        done: Block = Future()
        try:
            done.set_result(self._render(z, image_noise))
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _render(self, z: "Tensor", image_noise: "Tensor | None") -> list[Rendered]:
        started = time.perf_counter()
        try:
            return render_images(self._generator, z, image_noise)
        finally:
            self.busy += time.perf_counter() - started


def render_images(generator: "Generator", z: "Tensor", image_noise: "Tensor | None" = None) -> list[Rendered]:
    """Render `z` (n, d) and name the images by their hashes.

    Args:
        generator: Generator to render with.
        z: Noise, (n, d).
        image_noise: Noise that is added to the images before rounding, (n, 3, H, W) on the scale of [0, 1]; it needs a
                Differentiable generator.
    Raises:
        InputError: The generator did not return n images, or memory does not suffice.
    """
    try:
        with memory_named(generator):
            images, arrays, reasons = *_images(generator, z, image_noise), dict[int, str]()
    except NoImageError as error:
        images, arrays, reasons = error.images, error.arrays, error.reasons
        images[list(reasons)] = 0
    except (SystemExit, GeneratorExit, CancelledError) as error:  # they would end the run, or its actor, without a word
        raise InputError(f"generator must return images or raise an Exception; it raised {text_of(error)}.") from error
    return [
        Rendered(image_hash(image), image, no_image=reasons.get(row, ""), array=array)
        for row, (image, array) in enumerate(
            zip(checked_images(images, len(z)), _rows(generator, arrays, len(z)), strict=True)
        )
    ]


def _images(generator: "Generator", z: "Tensor", image_noise: "Tensor | None") -> "tuple[Tensor, Tensor | None]":
    """Render images, and arrays where the generator gives them."""
    if image_noise is None:
        return generator.render_arrays(z) if isinstance(generator, RendersArrays) else (generator(z), None)
    assert isinstance(generator, Differentiable)
    images = render_floats(generator, z)
    return bytes_of(images + image_noise.to(images.device)), None


def _rows(generator: "Generator", arrays: "Tensor | None", n: int) -> "list[np.ndarray] | list[None]":
    """Return arrays (n, ...) row by row."""
    import torch

    if arrays is None or not isinstance(generator, RendersArrays):
        return [None] * n
    if len(arrays) != n:
        raise InputError(f"generator must return an array for each of {n} rows; got {tuple(arrays.shape)}.")
    arrays = arrays.detach().cpu()
    return list((arrays.float() if arrays.dtype == torch.bfloat16 else arrays).numpy())  # which NumPy lacks
