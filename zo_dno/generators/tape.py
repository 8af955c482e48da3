"""Replacing a pipeline's Gaussian draws at their source, so that its image becomes a function of them."""

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
"""A call of a network, and whether it is a denoiser's -> what is called in its place."""

DENOISERS = ("unet", "transformer", "transformer_2", "prior", "prior_prior", "decoder")
"""Names that diffusers gives the networks that are called at every step."""


class TapeError(ZoDnoError):
    """The pipeline draws noise in a way that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One Gaussian draw of a pipeline call.

    Attributes:
        shape: of one candidate's part; of the whole draw where it is shared.
        in_step: drawn inside a scheduler's step.
        rows: of the draw that belong to one candidate, such as the frames of a video; then they lead its shape.
        shared: drawn once for all candidates of a call, such as the noise of an encoded input image.
    """

    shape: tuple[int, ...]
    in_step: bool
    rows: int = 1
    shared: bool = False


class Tape:
    """Stands between a pipeline and its random numbers for the length of one call.

    It is closed inside every network: around the denoiser it would cost microseconds at every torch function and break
    compiled regions.

    Args:
        pipeline: of diffusers, or anything that holds its networks under diffusers' names.
    Raises:
        TapeError: it has no denoiser, or a scheduler that draws from a Brownian tree.
    """

    def __init__(self, pipeline: Any) -> None:
        _refuse_brownian_trees(pipeline)
        self._denoisers = denoisers_of(pipeline)
        self.networks = list({id(part): part for part in vars(pipeline).values() if _is_network(part)}.values())

    @contextmanager
    def playing(self, source: DrawSource, around: Around | None = None) -> Iterator["Playback"]:
        """Give every draw inside the block from `source`, and count the denoiser's work.

        Args:
            source: of the draws.
            around: wraps the calls of networks, told which are denoisers.
        """
        playback = Playback(source)
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
                        stack.enter_context(replaced(network, name, playback.pausing(method)))
            playback.open()
            stack.callback(playback.close)
            yield playback


class Playback:
    """The draws given and the denoiser calls counted during one pipeline call."""

    def __init__(self, source: DrawSource) -> None:
        self._source = source
        self._mode: _GaussianMode | None = None
        self.shapes: list[tuple[int, ...]] = []
        self.in_step: list[bool] = []
        self.denoiser_rows = 0
        self.denoiser_calls = 0

    def open(self) -> None:
        """Start to replace draws."""
        self._mode = _GaussianMode(self._give)
        self._mode.__enter__()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Leave torch's random functions alone again."""
        if self._mode is not None:
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self._mode = None

    def pausing(self, function: Callable[..., Any], *, count: bool = False) -> Callable[..., Any]:
        """Wrap a function so that nothing is replaced inside it; `count` the rows that it is given as a denoiser."""

        @functools.wraps(function)  # pipelines read signatures to decide what to pass
        def paused(*args: Any, **kwargs: Any) -> Any:
            if self._mode is None:  # inside another network
                return function(*args, **kwargs)
            if count:
                self.denoiser_calls += 1
                self.denoiser_rows += _rows((*args, *kwargs.values()))
            self.close()
            try:
                return function(*args, **kwargs)
            finally:
                self.open()

        return paused

    def _give(self, shape: tuple[int, ...]) -> Tensor:
        number = len(self.shapes)
        self.shapes.append(shape)
        self.in_step.append(_inside_a_step(inspect.currentframe()))
        return self._source(number, shape)


class _GaussianMode(TorchFunctionMode):
    """Answers torch's Gaussian functions from a source of standard normal numbers."""

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
    """Give an object another attribute for a while, past what it does when an attribute is set."""
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
    """Find the networks that a diffusers pipeline calls at every step.

    Raises:
        TapeError: there is none under a name that diffusers uses.
    """
    parts = (getattr(pipeline, name, None) for name in DENOISERS)
    found = [part for part in parts if isinstance(part, nn.Module)]
    if not found:
        raise TapeError(
            f"{type(pipeline).__name__} has no {', '.join(DENOISERS[:-1])} or {DENOISERS[-1]}, so its noise cannot be "
            "found. Pass it as a plain callable z -> images instead."
        )
    return found


def schedulers_of(pipeline: Any) -> dict[str, Any]:
    """Find a pipeline's schedulers, by the names under which it holds them."""
    return {name: part for name, part in vars(pipeline).items() if callable(getattr(part, "set_timesteps", None))}


def _is_network(part: Any) -> bool:
    return isinstance(part, nn.Module)


def _rows(values: Sequence[Any]) -> int:
    """Return how many images a denoiser is given: its first argument is a batch of them, or a list."""
    for value in values:
        if (isinstance(value, Tensor) and value.ndim > 1) or (isinstance(value, list) and value):
            return len(value)
    return 0


def _set(wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if value is not None}


def _inside_a_step(frame: FrameType | None) -> bool:
    """Look who draws: pipelines may copy their scheduler, so that wrapping its `step` would miss some."""
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
