"""The call of a diffusers pipeline for n images of one prompt, and its output as images."""

import copy
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.generators.call_arguments import opened
from zo_dno.generators.cut_prompts import PromptCuts
from zo_dno.generators.diffusers_private import ENCODERS
from zo_dno.generators.tape import replaced, stages_of

_COUNTS = ("num_images_per_prompt", "num_videos_per_prompt", "batch_size")
_RESERVED = {
    "prompt": "Give it as the prompt",
    "generator": "Noise comes from z, and draws that are not searched from the seed",
    "output_type": "Images are always taken as numbers",
    "return_dict": "The first output is always taken",
    **dict.fromkeys(_COUNTS, "Set batch_size of the generator"),
}
_NEAR = 0.05  # on a grey scale from 0 to 1: above the errors of half precision, below a change of scale
_EMBEDDED = "prompt_embeds"
log = logging.getLogger(__name__)


class PipelineCall:
    """Calls a pipeline for n images, and computes once what all candidates share.

    The prompt is encoded once for every n. A safety checker is not run: it would paint images black, from which no
    search can learn. Evenly spaced frames of a video are put side by side.

    Args:
        pipeline: Pipeline of diffusers.
        prompt: Prompt to render; not passed to pipelines that take none.
        arguments: Further arguments of the call.
        frames: Number of frames that are taken of a video.
    Raises:
        InputError: An argument is unknown to the pipeline, or reserved.
    """

    def __init__(self, pipeline: Any, prompt: str, arguments: Mapping[str, Any], *, frames: int = 4) -> None:
        self._pipeline, self._prompt, self._frames = pipeline, prompt, frames
        self._name = type(pipeline).__name__
        self._arguments = {n: opened(n, value) for n, value in arguments.items() if value is not None}
        self._known = inspect.signature(pipeline.__call__).parameters
        for name in self._arguments:
            if name in _RESERVED:
                raise InputError(f"{name} must not be given for {self._name}. {_RESERVED[name]}.")
            if name not in self._known:  # pipelines swallow what they do not know
                raise unknown_name(f"{self._name} argument", name, self._known)
        self._function = inspect.unwrap(type(pipeline).__call__)  # without diffusers' no_grad
        self._count = next((name for name in _COUNTS if name in self._known), None)
        self._output_type, self._signed = "pt", False
        self._encoded: dict[str, Any] = {}
        self._cuts = PromptCuts(pipeline, self._texts())
        pipeline.set_progress_bar_config(disable=True)
        if getattr(pipeline, "safety_checker", None) is not None:
            log.warning("the safety checker of %s is not run in the search; check what you publish", self._name)

    def __call__(self, n: int) -> Tensor:
        """Render n images, (n, 3, H, W) float.

        Raises:
            InputError: The output is not n images.
        """
        with self._prepared(), self._cuts.watched():
            output = self._function(self._pipeline, **self._arguments_for(n))
        images = images_of(output[0], n, self._frames, self._name)
        return (images / 2 + 0.5).clamp(0, 1) if self._signed and self._output_type == "pt" else images

    def settle(self, render: Callable[[int], Tensor], n: int) -> None:
        """Find out what no signature tells: some pipelines ignore the number of images, or scale tensors differently.

        Args:
            render: Function that calls this object, always with the same noise.
            n: Number of images to render at last.
        Raises:
            InputError: The pipeline does not render images.
        """
        self._output_type = "np"
        shown = render(1)
        self._output_type = "pt"
        try:
            given = render(n)
        except InputError as error:
            self._count = None
            try:
                given = render(n)
            except InputError:
                raise error from None
        if _apart(given[:1], shown) <= _NEAR or not torch.equal(given, render(n)):
            return  # two calls that differ are refused when the draws are probed
        self._signed = True
        if _apart(render(n)[:1], shown) > _NEAR:
            raise InputError(f"{self._name} renders other images as tensors than as arrays, so neither can be trusted.")

    def has(self, name: str) -> bool:
        """Return whether an argument of the call is given."""
        return name in self._arguments

    def forget(self) -> None:
        """Forget encoded prompts."""
        self._encoded.clear()

    @property
    def arguments(self) -> Mapping[str, Any]:
        """Arguments of the call that were given, beside the prompt."""
        return self._arguments

    def with_prompt(self, prompt: str) -> "PipelineCall":
        """Return the same call for another prompt.

        Raises:
            InputError: Embeddings stand for the prompt.
        """
        if _EMBEDDED in self._arguments:
            raise InputError(f"prompt must stay {self._prompt!r}, whose {_EMBEDDED} were given; got {prompt!r}.")
        other = copy.copy(self)
        other._prompt, other._encoded = prompt, {}
        other._cuts = PromptCuts(self._pipeline, other._texts())
        return other

    def without(self, name: str) -> "PipelineCall":
        """Return the same call without one of its arguments."""
        other = copy.copy(self)
        other._arguments = {known: value for known, value in self._arguments.items() if known != name}
        return other

    def _texts(self) -> dict[str, str]:
        """Return the prompts by the names of the call's arguments."""
        passed = self._passed_prompt() | self._arguments
        return {name: value for name, value in passed.items() if "prompt" in name and isinstance(value, str) and value}

    def _passed_prompt(self) -> dict[str, Any]:
        takes_it = "prompt" in self._known and _EMBEDDED not in self._arguments
        return {"prompt": self._prompt} if takes_it else {}

    def _arguments_for(self, n: int) -> dict[str, Any]:
        arguments = self._passed_prompt() | self._arguments
        if "output_type" in self._known:
            arguments["output_type"] = self._output_type
        if self._count is not None:
            return {**arguments, self._count: n}
        return {name: _repeated(name, value, n) for name, value in arguments.items()}

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        with ExitStack() as stack:
            for pipeline in stages_of(self._pipeline):
                for name in ENCODERS:
                    encode = getattr(pipeline, name, None)
                    if encode is not None:
                        stack.enter_context(replaced(pipeline, name, _remembering(encode, self._encoded)))
                if getattr(pipeline, "safety_checker", None) is not None:
                    stack.enter_context(replaced(pipeline, "safety_checker", None))
            yield


def takes_prompt(pipeline: Any) -> bool:
    """Return whether a pipeline is called with a prompt; unconditional ones are not."""
    return "prompt" in inspect.signature(pipeline.__call__).parameters


def images_of(output: Any, n: int, frames: int, name: str) -> Tensor:
    """Return a pipeline's output as n images, (n, 3, H, W) float; grey ones get three equal colours.

    Raises:
        InputError: The output is not n images.
    """
    images = _as_tensor(output)
    if images is not None and images.ndim == 5 and len(images) == n:
        images = _side_by_side(images, frames)
    if images is None or images.ndim != 4 or len(images) != n or images.shape[1] not in (1, 3):
        got = type(output).__name__ if images is None else f"numbers of shape {tuple(images.shape)}"
        raise InputError(
            f"{name} must give {n} {'image' if n == 1 else 'images'}; got {got}. Wrap it in a function z -> images and "
            "give that to FunctionGenerator, for instance one that draws a spectrogram of a sound."
        )
    return images.expand(-1, 3, -1, -1)


def _as_tensor(output: Any) -> Tensor | None:
    """Return an output as (n, colours, H, W) or (n, frames, colours, H, W), or None."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Sequence) and output and all(isinstance(one, Tensor) for one in output):
        alike = all(one.shape == output[0].shape for one in output)
        return torch.stack(list(output)) if alike else None
    if isinstance(output, Sequence) and output and all(isinstance(one, Image.Image) for one in output):
        output = np.stack([np.asarray(one.convert("RGB"), np.float32) / 255 for one in output])
    if isinstance(output, np.ndarray) and output.ndim in (4, 5) and np.issubdtype(output.dtype, np.floating):
        return torch.from_numpy(output).movedim(-1, -3)
    return None


def _side_by_side(videos: Tensor, frames: int) -> Tensor:
    """Put evenly spaced frames of (n, frames, colours, H, W) side by side: (n, colours, H, frames * W)."""
    length = videos.shape[1]
    places = torch.linspace(0, length - 1, min(frames, length)).round().long()
    return torch.cat([videos[:, place] for place in places.tolist()], dim=3)


def _apart(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of images, without NaN."""
    return float((one.detach().cpu().float() - other.detach().cpu().float()).abs().nan_to_num().max())


def _repeated(name: str, value: Any, n: int) -> Any:
    """Repeat an argument for every candidate, for pipelines that render one image for each prompt of a list."""
    if isinstance(value, Image.Image) or (isinstance(value, str) and "prompt" in name):
        return [value] * n
    if isinstance(value, Tensor) and value.ndim > 1 and len(value) == 1:
        return value.expand(n, *value.shape[1:])
    return value


def _remembering(function: Callable[..., Any], memory: dict[str, Any]) -> Callable[..., Any]:
    """Remember the results of an encoder by its arguments; calls with tensors are not remembered."""

    def remembered(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        key = repr((getattr(function, "__qualname__", ""), args, sorted(kwargs.items())))
        if key not in memory:
            with torch.no_grad():
                memory[key] = function(*args, **kwargs)
        return memory[key]

    return remembered
