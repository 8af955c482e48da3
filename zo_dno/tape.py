"""Replacing a pipeline's Gaussian draws at their source, so that its image becomes a function of them."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zo_dno.errors import ZoDnoError

DrawSource = Callable[[int, tuple[int, ...]], Tensor]
"""Number of the draw in the call, and its shape with the batch axis -> the Gaussian numbers to use."""


class TapeError(ZoDnoError):
    """The pipeline draws noise in a way that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One Gaussian draw of a pipeline call.

    Attributes:
        shape: without the batch axis.
        in_step: drawn by the scheduler between two denoiser calls, rather than before the first.
    """

    shape: tuple[int, ...]
    in_step: bool


class Tape:
    """Stands between a pipeline and its random numbers for the length of one call.

    It is open from the entry of the call to the first denoiser call, and then only inside `scheduler.step`: around
    the denoiser it would cost microseconds at every torch function and break compiled regions.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._denoiser = denoiser_of(pipeline)

    @contextmanager
    def playing(self, source: DrawSource) -> Iterator["Playback"]:
        """Give every draw inside the block from `source`, and count the denoiser's work."""
        playback = Playback(source)
        scheduler = self._pipeline.scheduler
        step = scheduler.step

        def taped_step(*args: Any, **kwargs: Any) -> Any:
            with playback.step():
                return step(*args, **kwargs)

        functools.update_wrapper(taped_step, step)  # pipelines read its signature to decide what to pass
        hook = self._denoiser.register_forward_pre_hook(playback.before_denoiser, with_kwargs=True)
        try:
            with replaced(scheduler, "step", taped_step):
                playback.open()
                yield playback
        finally:
            playback.close()
            hook.remove()


class Playback:
    """The draws given and the denoiser calls counted during one pipeline call."""

    def __init__(self, source: DrawSource) -> None:
        self._source = source
        self._mode: _GaussianMode | None = None
        self._in_step = False
        self.shapes: list[tuple[int, ...]] = []
        self.in_step: list[bool] = []
        self.denoiser_rows = 0

    def open(self) -> None:
        """Start to replace draws."""
        if self._mode is None:
            self._mode = _GaussianMode(self._give)
            self._mode.__enter__()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Leave torch's random functions alone again."""
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._mode = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Replace draws inside one scheduler step."""
        self._in_step = True
        self.open()
        try:
            yield
        finally:
            self.close()

    def before_denoiser(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Stop replacing draws, and count the rows that the denoiser is given."""
        self.close()
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor) and value.ndim > 1]
        self.denoiser_rows += len(tensors[0]) if tensors else 0

    def _give(self, shape: tuple[int, ...]) -> Tensor:
        number = len(self.shapes)
        self.shapes.append(shape)
        self.in_step.append(self._in_step)
        return self._source(number, shape)


class _GaussianMode(TorchFunctionMode):
    """Answers torch's Gaussian functions from a source."""

    def __init__(self, give: Callable[[tuple[int, ...]], Tensor]) -> None:
        super().__init__()
        self._give = give

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.randn:
            size = kwargs.get("size", args)
            shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)
            return self._like(shape, kwargs.get("dtype") or torch.get_default_dtype(), kwargs.get("device"))
        if func is torch.randn_like:
            like = args[0] if args else kwargs["input"]
            return self._like(tuple(like.shape), kwargs.get("dtype") or like.dtype, kwargs.get("device") or like.device)
        if func in (torch.normal, Tensor.normal_):
            raise TapeError(
                f"The pipeline draws noise with torch.{func.__name__}; only torch.randn and torch.randn_like "
                "can be replayed. Pass it as a plain callable z -> images instead."
            )
        return func(*args, **kwargs)

    def _like(self, shape: tuple[int, ...], dtype: torch.dtype, device: Any) -> Tensor:
        return self._give(shape).to(device=device, dtype=dtype)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an object another attribute for a while."""
    own = vars(owner)
    before = own.get(name)
    had = name in own
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def denoiser_of(pipeline: Any) -> nn.Module:
    """Find the network that a diffusers pipeline calls at every step.

    Raises:
        TapeError: there is none under a name that diffusers uses.
    """
    for name in ("unet", "transformer", "prior"):
        module = getattr(pipeline, name, None)
        if isinstance(module, nn.Module):
            return module
    raise TapeError(
        f"{type(pipeline).__name__} has no unet, transformer or prior, so its noise cannot be found. "
        "Pass it as a plain callable z -> images instead."
    )
