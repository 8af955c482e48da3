"""The diffusers adapter: any pipeline as a deterministic function of its noise."""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.batch_size import best_batch_size, checked_batch_size, is_count
from zo_dno.generators.diffusers_private import execution_device
from zo_dno.generators.gradients import Gradients, frozen_weights
from zo_dno.generators.latents import FinalLatents, LatentsFoundError
from zo_dno.generators.loading import BUILTIN, Offload, Speed, load_pipeline, torch_dtype
from zo_dno.generators.memory import memory_named
from zo_dno.generators.pipeline_call import PipelineCall, plain_arguments, takes_prompt
from zo_dno.generators.pixels import NOT_NUMBERS, joined, rounded
from zo_dno.generators.tape import Around, DrawSource, Playback, Tape, TapeError
from zo_dno.generators.trace import frozen, influential, traced
from zo_dno.noise.space import NoiseLayout
from zo_dno.types import balanced_slices

Search = Literal["initial", "all"]


class DiffusersGenerator:
    """Renders images with a frozen diffusers pipeline whose Gaussian draws are replaced by z.

    A safety checker is not run, and the pipeline's progress bar is switched off.

    Args:
        pipeline: Loaded pipeline, or the folder or hub name of one.
        prompt: Prompt to render; rewards are told it even where the pipeline takes none.
        steps: Number of denoising steps; by default the pipeline's.
        guidance_scale: Scale of classifier-free guidance; by default the pipeline's.
        search: Draws to search; "initial" searches those outside of scheduler steps, "all" the noise of every step as
            well. Other draws are fixed by `seed`, the same for all candidates.
        batch_size: Largest number of images rendered at once; "auto" finds the one that renders most images a second
            and fits into memory. More are rendered in blocks of nearly equal size. By rounding, an image may depend on
            the size of its block.
        seed: Seed of the draws that are not searched.
        frames: Number of frames of a video that are put side by side as one image.
        dtype: Type to load the pipeline with, such as "float16".
        device: Device to render on.
        compile: Whether to compile the denoiser.
        channels_last: Whether the denoiser and the autoencoder use the channels-last memory format.
        attention: Attention back end by its name in diffusers; "sdpa" or "eager" for U-Nets.
        vae_slicing: Whether to decode the images of a batch one by one.
        vae_tiling: Whether to decode large images in tiles.
        offload: Whether to keep unused weights in the CPU's memory, a "model" at a time or "sequential", by layers.
        gradient_checkpointing: Whether `vjp` keeps only the inputs of each network and recomputes the rest; by default
            where all would take more than 1 GiB.
        gradient_dtype: Type that autocast computes in during `vjp`, such as "bfloat16".
        gradient_calls: Number of last denoiser calls that gradients pass through; by default all.
        call_arguments: Further arguments of the pipeline's call, such as height, width, negative_prompt, eta, image.
            Images may be given as files.
    Raises:
        InputError: A value is out of range, or the pipeline cannot be loaded or called, or does not render images.
        TapeError: The pipeline's Gaussian draws do not determine the image.
    """

    def __init__(
        self,
        pipeline: Any,
        prompt: str = "",
        *,
        steps: int | None = None,
        guidance_scale: float | None = None,
        search: Search = "initial",
        batch_size: int | Literal["auto"] = 8,
        seed: int = 0,
        frames: int = 4,
        dtype: str | torch.dtype | None = None,
        device: str | torch.device | None = None,
        compile: bool = False,
        channels_last: bool = False,
        attention: str | None = None,
        vae_slicing: bool = False,
        vae_tiling: bool = False,
        offload: Offload | None = None,
        gradient_checkpointing: bool | None = None,
        gradient_dtype: str | None = None,
        gradient_calls: int | None = None,
        **call_arguments: Any,
    ) -> None:
        fixed_size = checked_batch_size(batch_size)
        for name, value in (("steps", steps), ("frames", frames)):
            if not (value is None and name == "steps") and not is_count(value):
                raise InputError(f"{name} must be at least 1; got {value!r}.")
        if search not in ("initial", "all"):
            raise InputError(f"search must be 'initial' or 'all'; got {search!r}.")
        speed = Speed(dtype, device, compile, channels_last, attention, vae_slicing, vae_tiling, offload)
        self.model = str(pipeline) if isinstance(pipeline, str | Path) else type(pipeline).__name__
        self.prompt = prompt
        self._seed = seed
        self._gradients = Gradients(gradient_checkpointing, gradient_dtype, gradient_calls)
        self._kept: list[int] = []  # bytes that an image's gradient keeps without checkpoints; shared by all prompts
        self._pipeline = _prepared(pipeline, speed)
        given = {"num_inference_steps": steps, "guidance_scale": guidance_scale, **call_arguments}
        self._call = PipelineCall(self._pipeline, prompt, given, frames=frames)
        self._tape = Tape(self._pipeline)
        self._trace, seen = traced(self._play, self._call.settle, self.model)
        self._searched: list[int] = []
        self.batch_size = fixed_size or best_batch_size(self._render_frozen)
        speed.compile_denoiser(self._pipeline)
        self._searched = self._choose(search, None if compile else seen)
        self._call.forget()
        self.layout = NoiseLayout(tuple(self._trace.draws[i].shape for i in self._searched))
        self._settings = {
            "prompt": prompt,
            "steps": steps,
            "guidance": guidance_scale,
            "search": search,
            "batch_size": self.batch_size,
            "frames": None if frames == 4 else frames,
            "generator_options": plain_arguments(call_arguments),
            "generator_seed": seed,
            **({} if gradient_checkpointing is None else {"gradient_checkpointing": gradient_checkpointing}),
            **({} if gradient_dtype is None else {"gradient_dtype": gradient_dtype}),
            **({} if gradient_calls is None else {"gradient_calls": gradient_calls}),
            **speed.settings,
        }

    @classmethod
    def builtin(
        cls, prompt: str, *, steps: int | None = None, guidance_scale: float | None = None, **options: Any
    ) -> "DiffusersGenerator":
        """Return a generator of the model that ships with zo-dno: 64x64 landscapes, d = 1,024, on a CPU.

        Raises:
            PromptError: The prompt is outside the model's small grammar.
            InputError: A negative prompt was given without guidance.
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
        """Return a generator of the same loaded pipeline for another prompt. One of them can render at a time.

        Raises:
            PromptError: The prompt is outside the built-in model's small grammar.
        """
        if self.model == BUILTIN:
            from zo_dno.scenes.grammar import parse

            parse(prompt)
        other = copy.copy(self)
        other.prompt, other._call = prompt, self._call.with_prompt(prompt)
        other._settings = self._settings | {"prompt": prompt}
        return other

    def with_settings(self, prompt: str, **settings: Any) -> "DiffusersGenerator":
        """Return a generator of the same loaded pipeline with other arguments. One of them can render at a time."""
        other = DiffusersGenerator(self._pipeline, prompt, **settings)
        other.model = self.model
        return other

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        return {"model": self.model, **self._settings}

    @property
    def nfe(self) -> int:
        """Denoiser calls per image; classifier-free guidance counts two."""
        return self._trace.nfe

    @property
    def takes_prompt(self) -> bool:
        """Whether the pipeline is called with a prompt, which is not given as embeddings."""
        return takes_prompt(self._pipeline) and not self._call.has("prompt_embeds")

    @property
    def probed(self) -> bool:
        """Whether noise alone decides the images: it was tried with every draw."""
        return True

    def __call__(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, H, W, 3) uint8 on the CPU.

        Raises:
            NoImageError: Some images hold NaN, as where half precision overflows; the error holds the others.
            InputError: Memory does not suffice.
        """
        self.layout.check(z)
        images: list[Tensor] = []
        wrong: list[Tensor] = []
        dtype, device = torch.float32, torch.device("cpu")
        with torch.no_grad():
            for rows in balanced_slices(len(z), self.batch_size):
                block = self._render_block(z[rows])
                dtype, device = block.dtype, block.device
                wrong.append(_to_cpu(block.isnan().flatten(1).any(1)))
                images.append(_to_cpu(rounded(block)))
            _wait_for_copies(device)
        precision = str(dtype).removeprefix("torch.")
        reason = f"{NOT_NUMBERS}: {precision} overflows. Use dtype bfloat16 or float32"
        return joined(images, dict.fromkeys(torch.cat(wrong).nonzero().flatten().tolist(), reason))

    def render(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, 3, H, W) float in [0, 1], differentiable where autograd can pass."""
        self.layout.check(z)
        return torch.cat([self._render_block(z[rows]) for rows in balanced_slices(len(z), self.batch_size)])

    def vjp(self, z: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Return J(z)^T h, the gradient (n, d) of <h, images> for a constant h, on the CPU.

        Args:
            z: Noise, (n, d).
            cotangent: Function from the images (n, 3, H, W) of z, as float32, to h of the same shape.
        Raises:
            InputError: Memory does not suffice, or the gradient is not finite.
        """
        self.layout.check(z)
        device = execution_device(self._pipeline)

        def rendered(gradients: Gradients, z: Tensor) -> Tensor:
            rows = dict(zip(self._searched, self.layout.split(z), strict=True))
            images, playback = self._play(len(z), self._source(rows, len(z)), gradients.around(self._trace.calls))
            self._trace.check_count(len(playback.shapes))
            return images

        with memory_named(self), frozen_weights(self._tape.networks):
            if not self._kept and self._gradients.checkpointing is None:
                alone = partial(rendered, self._gradients)
                self._kept.append(self._gradients.kept(z[:1], alone, device, self._tape.networks))
            gradients = self._gradients.settled(sum(self._kept), len(z))
            return gradients.vjp(z, partial(rendered, gradients), cotangent, device)

    def latents(self, z: Tensor) -> Tensor:
        """Return the final latents of `z` (n, d), (n, *shape) float32 on the CPU, without a graph.

        They are what the pipeline gives its autoencoder to decode, which is left out where the pipeline decodes once.
        A pipeline without an autoencoder has its images in their place, on the scale from -1 to 1.

        Raises:
            InputError: Memory does not suffice.
            TapeError: The pipeline decodes something else than latents of each image.
        """
        self.layout.check(z)
        together = 1 if self._trace.decodings > 1 else self.batch_size
        with torch.no_grad():
            return torch.cat([self._latents_of_block(z[rows]) for rows in balanced_slices(len(z), together)])

    def draws(self, z: Tensor) -> list[Tensor]:
        """Split z (n, d) into the pipeline's own draws, each (n, *shape); the first are the initial latents."""
        return self.layout.split(z)

    def _render_block(self, z: Tensor) -> Tensor:
        rows = dict(zip(self._searched, self.layout.split(z), strict=True))
        with memory_named(self):
            images, playback = self._play(len(z), self._source(rows, len(z)))
        self._trace.check_count(len(playback.shapes))
        return images

    def _latents_of_block(self, z: Tensor) -> Tensor:
        n, images = len(z), None
        source = self._source(dict(zip(self._searched, self.layout.split(z), strict=True)), n)
        found = FinalLatents(n, self._trace.decodings)
        with memory_named(self), self._tape.playing(source, on_decode=found) as playback, suppress(LatentsFoundError):
            images = self._call(n)
        self._trace.check_count(len(playback.shapes))
        return found.joined(images)

    def _play(self, n: int, source: DrawSource, around: Around | None = None) -> tuple[Tensor, Playback]:
        """Call the pipeline once with its draws taken from `source`."""
        with self._tape.playing(source, around) as playback:
            images = self._call(n)
        return images, playback

    def _render_frozen(self, n: int) -> Tensor:
        with torch.no_grad():
            return self._play(n, self._source({}, n))[0]

    def _source(self, rows: Mapping[int, Tensor], n: int) -> DrawSource:
        """Return a source of draws: those in `rows` by their numbers, and the others by the seed."""

        def source(number: int, shape: tuple[int, ...]) -> Tensor:
            self._trace.check(number, shape, n)
            found = rows.get(number)
            if found is None:
                return frozen(self._trace.draws[number], number, shape, self._seed)
            return found.reshape(shape)

        return source

    def _choose(self, search: Search, seen: Tensor | None) -> list[int]:
        """Return the numbers of the searched draws, each of which changes the image."""
        draws = self._trace.draws
        wanted = [i for i, draw in enumerate(draws) if not draw.shared and (search == "all" or not draw.in_step)]
        with memory_named(self):
            kept = influential(self._play, self._trace, wanted, self.batch_size, self._seed, self.model, seen)
        if not kept:
            what = "draws no noise" if not draws else "draws no noise that is searched and changes its image"
            remedy = "" if search == "all" or not draws else " Try search='all'."
            raise TapeError(f"{self.model} {what}, so there is nothing to search.{remedy}")
        return kept


def _prepared(pipeline: Any, speed: Speed) -> Any:
    if isinstance(pipeline, str | Path):
        pipeline = load_pipeline(pipeline, speed.dtype)
    elif speed.dtype is not None:
        pipeline.to(torch_dtype(speed.dtype))
    speed.apply(pipeline)
    return pipeline


def _to_cpu(values: Tensor) -> Tensor:
    """Begin to copy to the CPU, while the next block is rendered."""
    if values.device.type != "cuda":
        return values.cpu()
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values, non_blocking=True)


def _wait_for_copies(device: torch.device) -> None:
    """Wait until all copies to the CPU are complete."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
