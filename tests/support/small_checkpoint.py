"""A tiny Stable Diffusion as people publish one: a checkpoint in one file, the configs, and a LoRA.

python -m tests.support.small_checkpoint FOLDER
"""

import sys
from pathlib import Path

from tests.support.pipelines import tiny_stable_diffusion
from tests.support.weight_files import configs_of, lora_file, single_file


def build(folder: Path) -> None:
    """Write `checkpoint.safetensors`, `lora.safetensors` and the folder `config` into a new folder."""
    folder.mkdir(parents=True)
    pipeline = tiny_stable_diffusion(folder)
    pipeline.save_pretrained(folder / "pipeline")
    single_file(pipeline, folder / "checkpoint.safetensors")
    lora_file(pipeline.unet, folder / "lora.safetensors")
    configs_of(folder / "pipeline", folder / "config")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
