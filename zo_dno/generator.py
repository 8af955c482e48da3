"""Any diffusers text-to-image pipeline as a deterministic black box z -> images."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.noise import NoiseSpace
from zo_dno.rng import stream
from zo_dno.tape import Draw, DrawSource, Playback, Tape, TapeError, replaced
from zo_dno.types import slices

BUILTIN = "scenes"
Search = Literal["initial", "all"]


class DiffusersGenerator:
    """Draws images with a frozen diffusers pipeline whose Gaussian draws are replaced by z.

    Args:
        pipeline: a loaded pipeline, or a folder or hub name to load one from.
        prompt: what to draw.
        steps: denoising steps; by default the pipeline's.
        guidance_scale: of classifier-free guidance; by default the pipeline's.
        search: "initial" searches what is drawn before the first denoiser call, "all" every scheduler step's noise
            too. Draws that are not searched are fixed by `seed`, the same for all candidates.
        batch_size: images drawn at once. Every call is padded to it, so that an image does not depend on how many
            were asked for.
        seed: of the draws that are not searched.
        dtype: to load the pipeline with, such as "float16".
        device: to draw on.
        call_arguments: further arguments of the pipeline's call, such as height, width, negative_prompt, eta.
    Raises:
        InputError: a value is out of range, or the pipeline cannot be loaded.
        TapeError: the image is not fixed by the pipeline's Gaussian draws.
    """

    def __init__(
        self,
        pipeline: Any,
        prompt: str,
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        search: Search = "initial",
        batch_size: int = 16,
        seed: int = 0,
        dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        **call_arguments: Any,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1; got {batch_size}.")
        if steps is not None and steps < 1:
            raise InputError(f"steps must be at least 1; got {steps}.")
        if search not in ("initial", "all"):
            raise InputError(f"search must be 'initial' or 'all'; got {search!r}.")
        self.model = str(pipeline) if isinstance(pipeline, str | Path) else type(pipeline).__name__
        self.prompt = prompt
        self.batch_size = batch_size
        self._pipeline = _load(pipeline, dtype) if isinstance(pipeline, str | Path) else pipeline
        if device is not None:
            self._pipeline.to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._settings = {
            "model": self.model,
            "prompt": prompt,
            "steps": steps,
            "guidance": guidance_scale,
            "dtype": None if dtype is None else str(dtype).removeprefix("torch."),
            "device": None if device is None else str(device),
            "search": search,
            "batch_size": batch_size,
            "generator_options": {k: v for k, v in call_arguments.items() if isinstance(v, str | int | float)},
            "generator_seed": seed,
        }
        given = {"num_inference_steps": steps, "guidance_scale": guidance_scale, **call_arguments}
        self._arguments = {name: value for name, value in given.items() if value is not None}
        known = inspect.signature(self._pipeline.__call__).parameters
        for name in self._arguments:
            if name not in known:  # pipelines swallow what they do not know
                raise unknown_name(f"{type(self._pipeline).__name__} argument", name, known)
        self._seed = seed
        self._tape = Tape(self._pipeline)
        self._encoded: dict[str, Any] = {}
        self._draws = self._record()
        self._searched = self._influential(
            [i for i, draw in enumerate(self._draws) if search == "all" or not draw.in_step]
        )
        self.space = NoiseSpace(tuple(self._draws[i].shape for i in self._searched))

    @classmethod
    def builtin(
        cls, prompt: str, *, steps: int | None = None, guidance_scale: float | None = None, **options: Any
    ) -> "DiffusersGenerator":
        """Draw with the model that ships with zo-dno: 64x64 landscapes, d = 1,024, on a CPU.

        Raises:
            PromptError: the prompt is outside the model's small grammar.
            InputError: a negative prompt was given without guidance.
        """
        from zo_dno import scenes
        from zo_dno.scenes.grammar import parse

        parse(prompt)
        steps = scenes.DEFAULT_STEPS if steps is None else steps
        guidance_scale = scenes.DEFAULT_GUIDANCE if guidance_scale is None else guidance_scale
        if options.get("negative_prompt") is not None and guidance_scale <= 1:
            raise InputError(
                f"negative_prompt must come with guidance above 1; got guidance {guidance_scale}, at which it has no "
                "effect. 1.25 suits the built-in model."
            )
        generator = cls(scenes.PIPELINE_FOLDER, prompt, steps=steps, guidance_scale=guidance_scale, **options)
        generator.model = BUILTIN
        return generator

    def with_prompt(self, prompt: str) -> "DiffusersGenerator":
        """Return a generator of the same loaded pipeline that draws another prompt. One of them can draw at a time.

        Raises:
            PromptError: the prompt is outside the built-in model's small grammar.
        """
        if self.model == BUILTIN:
            from zo_dno.scenes.grammar import parse

            parse(prompt)
        other = copy.copy(self)
        other.prompt, other._encoded = prompt, {}
        other._settings = self._settings | {"prompt": prompt}
        return other

    @property
    def settings(self) -> dict[str, Any]:
        """What decides an image beside z, by the names that a config has for it."""
        return self._settings | {"model": self.model}

    @property
    def nfe(self) -> int:
        """Denoiser calls per image; classifier-free guidance counts two."""
        return self._nfe

    def __call__(self, z: Tensor) -> Tensor:
        """Draw the images of `z` (n, d) as (n, H, W, 3) uint8 on the CPU."""
        with torch.no_grad():
            images = self.render(z)
        return (images.float() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu()

    def render(self, z: Tensor) -> Tensor:
        """Draw the images of `z` (n, d) as (n, 3, H, W) float in [0, 1], differentiable where autograd can pass."""
        self.space.check(z)
        return torch.cat([self._render_block(z[rows]) for rows in slices(len(z), self.batch_size)])

    def draws(self, z: Tensor) -> list[Tensor]:
        """Cut z (n, d) into the pipeline's own draws, each (n, *shape); the first are the initial latents."""
        return self.space.split(z)

    def _render_block(self, z: Tensor) -> Tensor:
        n = len(z)
        padded = torch.cat([z, z[-1:].expand(self.batch_size - n, -1)])
        rows = dict(zip(self._searched, self.space.split(padded), strict=True))

        def source(number: int, shape: tuple[int, ...]) -> Tensor:
            if number >= len(self._draws) or shape[1:] != self._draws[number].shape:
                raise TapeError(f"The pipeline's draws changed: draw {number} is now {shape}. It cannot be replayed.")
            return rows[number] if number in rows else self._frozen(number, shape)

        images, _ = self._draw(self.batch_size, source)
        return images[:n]

    def _draw(self, batch_size: int, source: DrawSource) -> tuple[Tensor, Playback]:
        """Call the pipeline once, with its draws taken from `source`."""
        call = inspect.unwrap(type(self._pipeline).__call__)  # without diffusers' no_grad
        with self._encoding_once(), self._tape.playing(source) as playback:
            output = call(
                self._pipeline,
                prompt=self.prompt,
                num_images_per_prompt=batch_size,
                output_type="pt",
                **self._arguments,
            )
        return output[0], playback

    def _frozen(self, number: int, shape: tuple[int, ...]) -> Tensor:
        noise = torch.randn(shape[1:], generator=stream(self._seed, "frozen draw", number))
        return noise.expand(shape)

    def _record(self) -> list[Draw]:
        batch_size = 2
        try:
            with torch.no_grad():
                _, playback = self._draw(batch_size, self._frozen)
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.model} cannot be called like this: {error}") from error
        if any(shape[:1] != (batch_size,) for shape in playback.shapes):
            raise TapeError(
                f"{self.model} draws noise without a batch axis ({playback.shapes}); it cannot be searched."
            )
        self._nfe = playback.denoiser_rows // batch_size
        pairs = zip(playback.shapes, playback.in_step, strict=True)
        return [Draw(shape[1:], in_step) for shape, in_step in pairs]

    @torch.no_grad()
    def _influential(self, numbers: Sequence[int]) -> list[int]:
        """Keep the draws that change the image, seen on float output: a pipeline may multiply a draw by zero."""
        kept: list[int] = []
        for part in slices(len(numbers), max(1, self.batch_size - 1)):
            kept += self._influential_part(numbers[part])
        if not kept:
            raise TapeError(f"{self.model} draws no noise that changes its image, so there is nothing to search.")
        return kept

    def _influential_part(self, numbers: Sequence[int]) -> list[int]:
        """Row i replaces draw numbers[i] alone, the last row none: it shows whether the pipeline is deterministic."""
        batch_size = len(numbers) + 1

        def changed(number: int, shape: tuple[int, ...]) -> Tensor:
            noise = self._frozen(number, shape)
            if number in numbers:
                noise = noise.clone()
                noise[numbers.index(number)] = torch.randn(shape[1:], generator=stream(self._seed, "probe", number))
            return noise

        before, _ = self._draw(batch_size, self._frozen)
        after, _ = self._draw(batch_size, changed)
        if not torch.equal(before[-1], after[-1]):
            raise TapeError(
                f"{self.model} gives two images for the same noise: something other than its Gaussian draws decides "
                "the image. Use a scheduler whose noise comes from torch.randn."
            )
        return [number for i, number in enumerate(numbers) if not torch.equal(before[i], after[i])]

    @contextmanager
    def _encoding_once(self) -> Iterator[None]:
        """Remember what the pipeline's own encoder answered to the same arguments."""
        encode = getattr(self._pipeline, "encode_prompt", None)
        if encode is None:
            yield
            return
        with replaced(self._pipeline, "encode_prompt", _remembering(encode, self._encoded)):
            yield


def _remembering(function: Callable[..., Any], memory: dict[str, Any]) -> Callable[..., Any]:
    def remembered(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
            return function(*args, **kwargs)
        key = repr((args, sorted(kwargs.items())))
        if key not in memory:
            with torch.no_grad():
                memory[key] = function(*args, **kwargs)
        return memory[key]

    return remembered


def _load(name: str | Path, dtype: str | torch.dtype | None) -> Any:
    from diffusers import DiffusionPipeline

    if "/" not in str(name) and not Path(name).exists():
        raise unknown_name("model", str(name), [BUILTIN, "FOLDER", "OWNER/NAME on the hub"])
    dtype = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if not isinstance(dtype, torch.dtype):
        raise InputError("dtype must be the name of a torch type, such as 'float16' or 'bfloat16'.")
    try:
        return DiffusionPipeline.from_pretrained(str(name), dtype=dtype)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"model {str(name)!r} could not be loaded: {reason} "
            f"Give {BUILTIN!r}, a diffusers folder, or a hub name that is on this machine or within reach."
        ) from error
