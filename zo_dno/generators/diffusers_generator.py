"""The diffusers adapter: any pipeline as a deterministic function of its noise."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.batch_size import best_batch_size, checked_batch_size
from zo_dno.generators.built_in import BUILTIN, arguments_of_call, check_scene_prompt, sized, source_of
from zo_dno.generators.call_arguments import plain_arguments
from zo_dno.generators.diffusers_private import execution_device
from zo_dno.generators.gradients import Gradients, frozen_weights
from zo_dno.generators.loading import PipelineSource, check_pipeline
from zo_dno.generators.memory import memory_named
from zo_dno.generators.pipeline_call import PipelineCall, takes_prompt
from zo_dno.generators.pixels import NOT_NUMBERS, joined, rounded, to_cpu, wait_for_copies
from zo_dno.generators.played import PlayedPipeline
from zo_dno.generators.quiet import without_remarks
from zo_dno.generators.speed import Offload, Speed
from zo_dno.noise.regularizer import check_noise
from zo_dno.noise.space import NoiseLayout
from zo_dno.types import balanced_slices, is_count

Search = Literal["initial", "all"]
_ADAPTER_IMAGES = ("ip_adapter_image", "ip_adapter_image_embeds")


class DiffusersGenerator:
    """Renders images with a frozen diffusers pipeline whose Gaussian draws are replaced by z.

    A safety checker is not run, and the pipeline's progress bar is switched off.

    Args:
        pipeline: Loaded pipeline; or its folder, single-file checkpoint or hub name, as `from_pretrained` takes it.
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
        check_pipeline(pipeline, prompt)
        for name, value in (("steps", steps), ("frames", frames)):
            if not (value is None and name == "steps") and not is_count(value):
                raise InputError(f"{name} must be at least 1; got {value!r}.")
        if search not in ("initial", "all"):
            raise InputError(f"search must be 'initial' or 'all'; got {search!r}.")
        if guidance_scale is not None and not _is_guidance(guidance_scale):
            raise InputError(f"guidance must be a number of at least 0; got {guidance_scale!r}.")
        speed = Speed(dtype, device, compile, channels_last, attention, vae_slicing, vae_tiling, offload)
        source = pipeline if isinstance(pipeline, PipelineSource) else PipelineSource(pipeline)
        self.model, self._source_settings = source.name, source.settings
        self.prompt = prompt
        self._gradients = Gradients(gradient_checkpointing, gradient_dtype, gradient_calls)
        self._kept: list[int] = []  # bytes that an image's gradient keeps without checkpoints; shared by all prompts
        self._pipeline = source.load(dtype)
        speed.apply(self._pipeline)
        given = {"num_inference_steps": steps, "guidance_scale": guidance_scale, **call_arguments}
        call = PipelineCall(self._pipeline, prompt, given, frames=frames)
        self._played = PlayedPipeline(self._pipeline, call, self.model, seed)
        self.batch_size = fixed_size or best_batch_size(lambda n: self._without_gradient({}, n))
        speed.compile_denoiser(self._pipeline)
        with memory_named(self):
            self._searched = self._played.searched(
                all_draws=search == "all", batch_size=self.batch_size, compiled=compile
            )
        self._played.forget()
        self.layout = NoiseLayout(tuple(self._played.trace.draws[i].shape for i in self._searched))
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
    def from_pretrained(
        cls,
        model: Any,
        prompt: str = "",
        *,
        variant: str | None = None,
        revision: str | None = None,
        pipeline_class: str | None = None,
        pipeline_config: str | None = None,
        vae: str | None = None,
        scheduler: str | None = None,
        scheduler_options: Mapping[str, Any] | None = None,
        lora: str | Sequence[str] | None = None,
        textual_inversion: str | Sequence[str] | None = None,
        ip_adapter: str | None = None,
        **options: Any,
    ) -> "DiffusersGenerator":
        """Return a generator of a pipeline that is loaded here, with everything that a config can hold of it.

        Args:
            model: Hub name, folder or single-file checkpoint (.safetensors, .ckpt), or a loaded pipeline of diffusers.
            prompt: Prompt to render.
            variant: Variant of the weights' files, such as "fp16".
            revision: Branch, tag or commit of the hub.
            pipeline_class: Name of the pipeline's class in diffusers, in place of the model's own.
            pipeline_config: Folder or hub name of the config of a single-file checkpoint, from which a file of the
                denoiser alone takes all else.
            vae: Folder, file or hub name of an autoencoder.
            scheduler: Name of a scheduler's class in diffusers.
            scheduler_options: Options of the scheduler, such as {"timestep_spacing": "trailing"}.
            lora: LoRAs, each PATH or PATH:SCALE.
            textual_inversion: Textual inversions, each PATH or PATH:TOKEN.
            ip_adapter: File of an IP-Adapter, PATH or PATH:SCALE; it needs the call argument ip_adapter_image.
            options: Other options of a generator, and arguments of the pipeline's call.
        Raises:
            InputError: Something is missing, out of reach, or does not fit.
            TapeError: The pipeline's Gaussian draws do not determine the image.
        """
        source = PipelineSource(
            *(model, variant, revision, pipeline_class, pipeline_config, vae, scheduler),
            scheduler_options=dict(scheduler_options or {}),
            lora=_as_list(lora),
            textual_inversion=_as_list(textual_inversion),
            ip_adapter=ip_adapter,
        )
        if ip_adapter is not None and not any(options.get(name) is not None for name in _ADAPTER_IMAGES):
            raise InputError(
                "ip_adapter must come with its image, the call argument ip_adapter_image "
                "(--generator-option ip_adapter_image=FILE); got none."
            )
        return cls(source, prompt, **options)

    @classmethod
    def builtin(
        cls,
        prompt: str,
        *,
        model: str = BUILTIN,
        steps: int | None = None,
        guidance_scale: float | None = None,
        **options: Any,
    ) -> "DiffusersGenerator":
        """Return a generator of the model that ships with zo-dno: landscapes, d = 1,024, on a CPU.

        Args:
            prompt: Prompt within the model's small grammar.
            model: "scenes-128" or "scenes" for images of 128x128 pixels, "scenes-64" for half the width and height
                from the same noise.
            steps: Denoising steps; 8 by default.
            guidance_scale: Strength of classifier-free guidance; 1, the default, needs half the denoiser calls.
            options: Other options of a generator, and arguments of the pipeline's call.
        Raises:
            PromptError: The prompt is outside the model's small grammar.
            InputError: A negative prompt was given without guidance.
        """
        check_scene_prompt(BUILTIN, prompt)
        options |= arguments_of_call(steps, guidance_scale, options.get("negative_prompt"))
        model = sized(model)
        with without_remarks():
            source = source_of(model, own_autoencoder=options.get("vae") is not None)
            generator = cls.from_pretrained(source, prompt, **options)
        generator.model = model
        return generator

    def with_prompt(self, prompt: str) -> "DiffusersGenerator":
        """Return a generator of the same loaded pipeline for another prompt. One of them can render at a time.

        Raises:
            PromptError: The prompt is outside the built-in model's small grammar.
        """
        check_scene_prompt(self.model, prompt)
        other = copy.copy(self)
        other.prompt, other._played = prompt, self._played.with_prompt(prompt)
        other._settings = self._settings | {"prompt": prompt}
        return other

    def with_settings(self, prompt: str, **settings: Any) -> "DiffusersGenerator":
        """Return a generator of the same loaded pipeline with other arguments. One of them can render at a time."""
        other = DiffusersGenerator(self._pipeline, prompt, **settings)
        other.model, other._source_settings = self.model, self._source_settings
        return other

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        return {"model": self.model, **self._source_settings, **self._settings}

    @property
    def nfe(self) -> int:
        """Denoiser calls per image; classifier-free guidance counts two."""
        return self._played.trace.nfe

    @property
    def takes_prompt(self) -> bool:
        """Whether the pipeline is called with a prompt, which is not given as embeddings."""
        return takes_prompt(self._pipeline) and not self._played.call.has("prompt_embeds")

    @property
    def probed(self) -> bool:
        """Whether noise alone decides the images: it was tried with every draw."""
        return True

    def __call__(self, z: Tensor) -> Tensor:
        """Render `z` (n, d) as (n, H, W, 3) uint8 on the CPU.

        Raises:
            NoImageError: Some images hold NaN, as where half precision overflows; the error holds the others.
            InputError: z is not (n, d) or not finite, or memory does not suffice.
        """
        self.layout.check(z)
        check_noise(z, self.layout.d)
        images: list[Tensor] = []
        wrong: list[Tensor] = []
        dtype, device = torch.float32, torch.device("cpu")
        with torch.no_grad():
            for rows in balanced_slices(len(z), self.batch_size):
                block = self._render_block(z[rows])
                dtype, device = block.dtype, block.device
                wrong.append(to_cpu(block.isnan().flatten(1).any(1)))
                images.append(to_cpu(rounded(block)))
            wait_for_copies(device)
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
            return self._played.images(self._rows(z), len(z), gradients.around(self._played.trace.calls))

        with memory_named(self), frozen_weights(self._played.tape.networks):
            if not self._kept and self._gradients.checkpointing is None:
                alone = partial(rendered, self._gradients)
                self._kept.append(self._gradients.kept(z[:1], alone, device, self._played.tape.networks))
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
        together = 1 if self._played.trace.decodings > 1 else self.batch_size
        blocks = [z[rows] for rows in balanced_slices(len(z), together)]
        with torch.no_grad(), memory_named(self):
            return torch.cat([self._played.latents(self._rows(block), len(block)) for block in blocks])

    def draws(self, z: Tensor) -> list[Tensor]:
        """Split z (n, d) into the pipeline's own draws, each (n, *shape); the first are the initial latents."""
        return self.layout.split(z)

    def _render_block(self, z: Tensor) -> Tensor:
        with memory_named(self):
            return self._played.images(self._rows(z), len(z))

    def _without_gradient(self, rows: Mapping[int, Tensor], n: int) -> Tensor:
        with torch.no_grad():
            return self._played.images(rows, n)

    def _rows(self, z: Tensor) -> dict[int, Tensor]:
        """Return the searched draws of z by their numbers in the trace."""
        return dict(zip(self._searched, self.layout.split(z), strict=True))


def _is_guidance(value: object) -> bool:
    """Return whether a value is a finite number of at least 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _as_list(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())
