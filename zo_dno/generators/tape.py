"""The tape, which replaces a pipeline's Gaussian draws so that its image becomes a function of them."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zo_dno.errors import ZoDnoError
from zo_dno.generators.torch_private import INNER_CALL, inner_call

DrawSource = Callable[[int, tuple[int, ...]], Tensor]
"""Number of the draw in the call, and its shape with the batch axis -> the Gaussian numbers to use."""

Around = Callable[[Callable[..., Any], bool], Callable[..., Any]]
"""Call of a network, and whether it is a denoiser's -> the call in its place."""

OnDecode = Callable[[Tensor], None]
"""Function that is given latents before an autoencoder decodes them."""

DENOISERS = ("unet", "transformer", "transformer_2", "prior", "prior_prior", "decoder")
"""Names in diffusers of the networks that are called at every step."""


class TapeError(ZoDnoError):
    """The pipeline draws noise in a way that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One Gaussian draw of a pipeline call.

    Attributes:
        shape: Shape of one candidate's noise; of the whole draw where it is shared.
        in_step: Whether the draw is made in a scheduler's step.
        rows: Number of rows that belong to one candidate, such as the frames of a video; above 1 it leads the shape.
        shared: Whether all candidates of a call share the draw, such as the noise of an encoded input image.
    """

    shape: tuple[int, ...]
    in_step: bool
    rows: int = 1
    shared: bool = False


class Tape:
    """Replaces a pipeline's random numbers during a call.

    It is paused inside every network, where it would cost microseconds at every torch function and break compiled
    regions.

    Args:
        pipeline: Pipeline of diffusers, or any object that holds its networks under diffusers' names.
    Raises:
        TapeError: The pipeline has no denoiser, or a scheduler that draws from a Brownian tree.
    """

    def __init__(self, pipeline: Any) -> None:
        _refuse_brownian_trees(pipeline)
        self._denoisers = denoisers_of(pipeline)
        self.networks = list({id(one): one for one in vars(pipeline).values() if _is_network(one)}.values())

    @contextmanager
    def playing(
        self, source: DrawSource, around: Around | None = None, on_decode: OnDecode | None = None
    ) -> Iterator["Playback"]:
        """Take every draw inside the block from `source`, and count the denoiser's calls.

        Args:
            source: Source of the draws.
            around: Wrapper of the calls of networks, told which are denoisers.
            on_decode: Function that is given everything that is decoded; an exception of its own ends the call.
        """
        playback = Playback(source, on_decode)
        with ExitStack() as stack:
            for network in self.networks:
                count = any(network is denoiser for denoiser in self._denoisers)
                # The one place that is outside of a module's hooks and of what `Module.compile` compiles.
                call = inner_call(network)
                call = call if around is None else around(call, count)
                stack.enter_context(replaced(network, INNER_CALL, playback.pausing(call, count=count)))
                for name in ("encode", "decode"):  # of autoencoders, which are not called themselves
                    method = getattr(network, name, None)
                    if callable(method):
                        method = method if around is None else around(method, False)
                        played = playback.pausing(method, decodes=name == "decode")
                        stack.enter_context(replaced(network, name, played))
            playback.open()
            stack.callback(playback.close)
            yield playback


class Playback:
    """The replaced draws, the denoiser calls and the decodings of one pipeline call."""

    def __init__(self, source: DrawSource, on_decode: OnDecode | None = None) -> None:
        self._source, self._on_decode = source, on_decode
        self._mode: _GaussianMode | None = None
        self.shapes: list[tuple[int, ...]] = []
        self.in_step: list[bool] = []
        self.denoiser_rows = 0
        self.denoiser_calls = 0
        self.decodings = 0

    def open(self) -> None:
        """Begin to replace draws."""
        self._mode = _GaussianMode(self._give)
        self._mode.__enter__()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Stop replacing draws."""
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._mode = None

    def pausing(
        self, function: Callable[..., Any], *, count: bool = False, decodes: bool = False
    ) -> Callable[..., Any]:
        """Wrap a function so that nothing is replaced inside it.

        Args:
            function: Function to wrap.
            count: Whether it is a denoiser, whose rows count.
            decodes: Whether it decodes latents, its first tensor.
        """

        @functools.wraps(function)  # pipelines read signatures to decide what to pass
        def paused(*args: Any, **kwargs: Any) -> Any:
            if self._mode is None:  # inside another network
                return function(*args, **kwargs)
            if count:
                self.denoiser_calls += 1
                self.denoiser_rows += _rows((*args, *kwargs.values()))
            if decodes:
                self._decoding((*args, *kwargs.values()))
            self.close()
            try:
                return function(*args, **kwargs)
            finally:
                self.open()

        return paused

    def _decoding(self, values: Sequence[Any]) -> None:
        self.decodings += 1
        if self._on_decode is None:
            return
        latents = next((value for value in values if isinstance(value, Tensor)), None)
        if latents is None:
            raise TapeError("The pipeline decodes no tensor, so it has no latents to give.")
        self._on_decode(latents)

    def _give(self, shape: tuple[int, ...]) -> Tensor:
        number = len(self.shapes)
        self.shapes.append(shape)
        self.in_step.append(_inside_a_step(inspect.currentframe()))
        return self._source(number, shape)


class _GaussianMode(TorchFunctionMode):
    """Replaces the results of torch's Gaussian functions by numbers from a source."""

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
            return self._given(shape, kwargs)
        if func is torch.randn_like:
            like = args[0] if args else kwargs["input"]
            return self._given(tuple(like.shape), {"dtype": like.dtype, "device": like.device} | _set(kwargs))
        if func is Tensor.normal_:
            return self._fill(*args, **kwargs)
        if func is torch.normal:
            return self._normal(*args, **kwargs)
        return func(*args, **kwargs)

    def _given(self, shape: tuple[int, ...], wanted: dict[str, Any]) -> Tensor:
        dtype = wanted.get("dtype") or torch.get_default_dtype()
        if dtype.is_complex:
            raise TapeError("The pipeline draws complex noise, which cannot be searched.")
        drawn = self._give(shape).to(device=wanted.get("device"), dtype=dtype)
        out = wanted.get("out")
        return drawn if out is None else out.copy_(drawn)

    def _fill(self, tensor: Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> Tensor:
        return tensor.copy_(mean + std * self._given(tuple(tensor.shape), {"device": tensor.device}))

    def _normal(
        self, mean: Tensor | float, std: Tensor | float = 1.0, size: Sequence[int] | None = None, **wanted: Any
    ) -> Tensor:
        tensors = [value for value in (mean, std) if isinstance(value, Tensor)]
        shape = torch.broadcast_shapes(*(value.shape for value in tensors)) if size is None else size
        like = {"dtype": tensors[0].dtype, "device": tensors[0].device} if tensors else {}
        drawn = mean + std * self._given(tuple(shape), like | {k: v for k, v in _set(wanted).items() if k != "out"})
        out = wanted.get("out")
        return drawn if out is None else out.copy_(drawn)


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of an object inside the block, without calling its `__setattr__`."""
    own = vars(owner)
    had, before = name in own, own.get(name)
    own[name] = value
    try:
        yield
    finally:
        if had:
            own[name] = before
        else:
            del own[name]


def denoisers_of(pipeline: Any) -> list[nn.Module]:
    """Return the networks that a diffusers pipeline calls at every step.

    Raises:
        TapeError: The pipeline has no network under a name that diffusers uses.
    """
    held = (getattr(pipeline, name, None) for name in DENOISERS)
    found = [one for one in held if isinstance(one, nn.Module)]
    if not found:
        raise TapeError(
            f"{type(pipeline).__name__} has no {', '.join(DENOISERS[:-1])} or {DENOISERS[-1]}, so its noise cannot be "
            "found. Pass it as a plain callable z -> images instead."
        )
    return found


def schedulers_of(pipeline: Any) -> dict[str, Any]:
    """Return a pipeline's schedulers by their attribute names."""
    return {name: one for name, one in vars(pipeline).items() if callable(getattr(one, "set_timesteps", None))}


def stages_of(pipeline: Any) -> list[Any]:
    """Return a pipeline and the pipelines inside it."""
    inner = [one for one in vars(pipeline).values() if callable(getattr(one, "set_progress_bar_config", None))]
    return [pipeline, *inner]


def _is_network(held: Any) -> bool:
    return isinstance(held, nn.Module)


def _rows(values: Sequence[Any]) -> int:
    """Return the number of images in a denoiser's arguments, the first of which is a batch or a list."""
    for value in values:
        if (isinstance(value, Tensor) and value.ndim > 1) or (isinstance(value, list) and value):
            return len(value)
    return 0


def _set(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}


def _inside_a_step(frame: FrameType | None) -> bool:
    """Return whether a scheduler's step draws. Its `step` is not wrapped, since pipelines may copy their scheduler."""
    while frame is not None:
        if frame.f_code.co_name == "step" and hasattr(frame.f_locals.get("self"), "set_timesteps"):
            return True
        frame = frame.f_back
    return False


def _refuse_brownian_trees(pipeline: Any) -> None:
    for scheduler in schedulers_of(pipeline).values():
        modules = (vars(sys.modules[owner.__module__]) for owner in type(scheduler).__mro__)
        if any("BrownianTreeNoiseSampler" in names for names in modules):
            raise TapeError(
                f"{type(scheduler).__name__} draws from a Brownian tree, whose numbers depend on one another, so they "
                "cannot be searched. Use DPMSolverMultistepScheduler with algorithm_type='sde-dpmsolver++' instead."
            )
