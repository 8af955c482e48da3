"""Measure how good the built-in model is."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from zo_dno.rng import numpy_stream
from zo_dno.scenes import DEFAULT_GUIDANCE, DEFAULT_STEPS
from zo_dno.scenes.canvas import SIZE
from zo_dno.scenes.data import Pictures, held_out, to_floats, to_pixels
from zo_dno.scenes.grammar import WORDS, Scene, every_scene
from zo_dno.scenes.judge import Judge
from zo_dno.scenes.pipeline import render_prompts

SEED = 20_000  # of the held-out pictures and of the rendered images; training uses others


def measure(
    pipeline: Any, judge: Judge, count: int = 500, steps: int = DEFAULT_STEPS, side: int = SIZE
) -> dict[str, float]:
    """Measure every figure of the model card for images of `side` pixels."""
    renders = held_out(count, SEED, side)
    figures = {"autoencoder_psnr_db": reconstruction(pipeline.vae, renders)}
    seen = judge.read([Image.fromarray(picture) for picture in renders.pixels])
    truth = [renders.scene(index) for index in range(len(renders))]
    figures |= {f"judge_{name}_right": share for name, share in agreement(seen, truth).items()}
    scenes = balanced(count)
    images = render_prompts(pipeline, [scene.caption for scene in scenes], SEED, steps=steps)
    figures |= {f"drawn_{name}_right": share for name, share in agreement(judge.read(images), scenes).items()}
    match = judge.prompt_match(images, [scene.caption for scene in scenes])
    figures["drawn_prompt_match"] = float(np.mean(match))
    figures["seed_difference_grey_levels"] = seed_difference(pipeline, steps)
    figures["images_per_second"] = speed(pipeline, steps)
    return figures


def reconstruction(autoencoder: Any, pictures: Pictures, batch: int = 50) -> float:
    """Return the mean PSNR, in dB, of pictures that went through the autoencoder and back to bytes."""
    ratios: list[float] = []
    for start in range(0, len(pictures), batch):
        pixels = pictures.pixels[start : start + batch]
        with torch.no_grad():
            decoded = autoencoder.decode(autoencoder.encode(to_floats(pixels)).latents).sample
        shown = decoded.add(1).mul(127.5).round().clamp(0, 255).permute(0, 2, 3, 1).double().numpy()
        error = np.square(shown - pixels).mean(axis=(1, 2, 3))
        ratios += (10 * np.log10(255**2 / error)).tolist()
    return float(np.mean(ratios))


def balanced(count: int) -> list[Scene]:
    """Choose scenes evenly over the grammar, so that every word comes up equally often."""
    scenes = every_scene()
    order = numpy_stream(SEED, "scenes", "balanced").permutation(len(scenes))
    return [scenes[order[index % len(scenes)]] for index in range(count)]


def agreement(seen: Sequence[Scene], asked: Sequence[Scene]) -> dict[str, float]:
    """Return each attribute's share of scenes that were seen as asked."""
    return {
        name: float(
            np.mean([getattr(one, name) == getattr(other, name) for one, other in zip(seen, asked, strict=True)])
        )
        for name in WORDS
    }


def seed_difference(pipeline: Any, steps: int) -> float:
    """Return the mean absolute difference, in grey levels of 255, between two seeds' images of the same prompts."""
    prompts = [scene.caption for scene in balanced(64)]
    pair = [to_pixels(render_prompts(pipeline, prompts, seed, steps=steps)) for seed in (SEED, SEED + 1)]
    first, second = (pixels.astype(float) for pixels in pair)
    return float(np.abs(first - second).mean())


def speed(pipeline: Any, steps: int, batch: int = 32, repeats: int = 5) -> float:
    """Return the images rendered a second, with decoding; the best of a few batches."""
    prompts = [scene.caption for scene in balanced(batch)]
    seconds = []
    for repeat in range(repeats + 1):
        started = time.perf_counter()
        render_prompts(pipeline, prompts, SEED + repeat, steps=steps, guidance=DEFAULT_GUIDANCE, batch=batch)
        seconds.append(time.perf_counter() - started)
    return batch / min(seconds[1:])
