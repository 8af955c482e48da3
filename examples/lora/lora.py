"""Stable Diffusion from one file, with a LoRA: the noise is searched for colourful pictures.

python lora.py CHECKPOINT CONFIG_FOLDER LORA[:SCALE]
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import zo_dno

HERE = Path(__file__).parent


def main(checkpoint: str, config: str, lora: str) -> None:
    """Search the noise of a checkpoint with a LoRA, and of the same one without it."""
    pictures = []
    for loras in ([], [lora]):
        generator = zo_dno.DiffusersGenerator.from_pretrained(
            checkpoint, "a lighthouse", pipeline_config=config, lora=loras, steps=4, guidance_scale=3.0
        )
        result = zo_dno.optimize(generator, "colourfulness", queries=96, seed=0, baseline="equal")
        print(f"colourfulness with {lora if loras else 'no LoRA'}: first {result.first.reward:.1f}, ", end="")
        print(f"best of 96 prior draws {result.baseline.reward:.1f}, search {result.best.reward:.1f} ", end="")
        print(f"(plausible: {result.best.plausible})")
        pictures += [result.first_image, result.best_image]
    shown = [np.asarray(picture.resize((192, 192))) for picture in pictures]
    Image.fromarray(np.hstack(shown)).save(HERE / "picture.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
