"""The trained networks as a Stable Diffusion pipeline, on disk and in memory."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file

from zo_dno.rng import stream
from zo_dno.scenes import DEFAULT_GUIDANCE, DEFAULT_STEPS, JUDGE_FILE, PIPELINE_FOLDER
from zo_dno.scenes.denoiser import Denoiser, build_scheduler
from zo_dno.scenes.judge import Judge


def assemble(autoencoder: Any, denoiser: Denoiser) -> Any:
    """Make a `StableDiffusionPipeline` of the trained networks."""
    from diffusers import StableDiffusionPipeline

    build: Any = StableDiffusionPipeline  # its types require what is optional
    pipeline = build(
        vae=autoencoder,
        text_encoder=denoiser.text_encoder,
        tokenizer=denoiser.tokenizer,
        unet=denoiser.unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save(autoencoder: Any, denoiser: Denoiser, out: Path) -> None:
    """Write the pipeline folder; the U-Net is stored in half precision and loaded in full precision."""
    folder = out / PIPELINE_FOLDER.name
    pipeline = assemble(autoencoder.cpu(), denoiser.cpu())
    pipeline.save_pretrained(folder)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: value.half().contiguous() for name, value in denoiser.unet.state_dict().items()}
    save_file(halves, file, metadata={"format": "pt"})
    save_autoencoder(autoencoder, folder / "vae")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)


def save_autoencoder(autoencoder: Any, folder: Path) -> None:
    """Write an autoencoder's folder."""
    autoencoder.cpu().save_pretrained(folder)
    _forget(folder / "config.json", "block_out_channels")  # which AutoencoderTiny writes, and warns of when loaded
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)


def _forget(file: Path, key: str) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop(key, None)
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def save_judge(judge: Judge, out: Path) -> None:
    """Write the judge's weights."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / JUDGE_FILE.name
    save_file({name: value.cpu().contiguous() for name, value in judge.state_dict().items()}, file)
    file.chmod(0o644)


def load(folder: Path = PIPELINE_FOLDER, autoencoder: Path | None = None) -> Any:
    """Load a saved pipeline, without a progress bar.

    Args:
        folder: Folder of the pipeline.
        autoencoder: Folder of an autoencoder in place of the pipeline's own.
    """
    from diffusers import DiffusionPipeline

    other = {} if autoencoder is None else {"vae": load_autoencoder(autoencoder)}
    pipeline = DiffusionPipeline.from_pretrained(folder, **other)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load_autoencoder(folder: Path) -> Any:
    """Load a saved autoencoder."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny.from_pretrained(folder).eval()


def render_prompts(
    pipeline: Any,
    prompts: Sequence[str],
    seed: int,
    steps: int = DEFAULT_STEPS,
    guidance: float = DEFAULT_GUIDANCE,
    batch: int = 32,
) -> list[Image.Image]:
    """Render one image a prompt, with noise from a stream that is named by the prompt's place in `prompts`."""
    images: list[Image.Image] = []
    for start in range(0, len(prompts), batch):
        some = list(prompts[start : start + batch])
        noise = torch.stack(
            [torch.randn(4, 16, 16, generator=stream(seed, "scenes", "draw", start + row)) for row in range(len(some))]
        )
        shown = pipeline(some, num_inference_steps=steps, guidance_scale=guidance, latents=noise.to(pipeline.device))
        images += shown.images
    return images
