"""Rendered pictures with labels, kept in files so that every stage reads the same ones."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from zo_dno.rng import numpy_stream
from zo_dno.scenes.canvas import SIZE
from zo_dno.scenes.grammar import WORDS, Scene, every_scene, sample
from zo_dno.scenes.renderer import render

_BLOCK = 500


@dataclass(frozen=True)
class Pictures:
    """Pictures as bytes, (n, side, side, 3), and the index of each attribute's value, (n, 4)."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pixels)

    def scene(self, index: int) -> Scene:
        """Return the scene of a picture."""
        chosen = zip(WORDS.values(), self.labels[index], strict=True)
        return Scene(*(words[value] for words, value in chosen))

    def first(self, count: int) -> "Pictures":
        """Return the first pictures."""
        return Pictures(self.pixels[:count], self.labels[:count])

    def captions(self) -> list[str]:
        """Return the caption of each picture."""
        return [self.scene(index).caption for index in range(len(self))]

    def batch(self, indices: Tensor) -> Tensor:
        """Return pictures as (n, 3, side, side) float in [-1, 1]."""
        return to_floats(self.pixels[indices.numpy()])


def to_floats(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Convert bytes (n, height, width, 3) into channels first, in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)


def to_pixels(images: Iterable[Image.Image]) -> npt.NDArray[np.uint8]:
    """Stack images as bytes (n, height, width, 3)."""
    return np.stack([np.asarray(image.convert("RGB")) for image in images])


def held_out(count: int, seed: int, side: int = SIZE) -> Pictures:
    """Render pictures for no training stage, with scenes balanced over the grammar."""
    scenes = every_scene()
    chosen = [scenes[index * len(scenes) // count % len(scenes)] for index in range(count)]
    pixels = to_pixels(
        render(scene, numpy_stream(seed, "scenes", "held-out", index), side) for index, scene in enumerate(chosen)
    )
    return Pictures(pixels, np.array([scene.indices for scene in chosen]))


def training_pictures(folder: Path, count: int, seed: int, side: int = SIZE) -> Pictures:
    """Render the training pictures once, on every core; later calls read the file."""
    name = f"{count}-{seed}" if side == SIZE else f"{count}-{seed}-{side}"
    pixel_file, label_file = folder / f"pictures-{name}.npy", folder / f"labels-{name}.npy"
    if not label_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _write(pixel_file, label_file, count, seed, side)
    return Pictures(np.load(pixel_file, mmap_mode="r"), np.load(label_file))


def _write(pixel_file: Path, label_file: Path, count: int, seed: int, side: int) -> None:
    pixels = np.lib.format.open_memmap(pixel_file, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
    labels = np.zeros((count, len(WORDS)), np.int64)
    blocks = [range(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    if len(blocks) == 1:
        _fill(pixels, labels, blocks, map(partial(_rendered, seed, side), blocks))
    else:
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            _fill(pixels, labels, blocks, pool.map(partial(_rendered, seed, side), blocks))
    pixels.flush()
    np.save(label_file, labels)


def _fill(
    pixels: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    blocks: Sequence[range],
    rendered: Iterable[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]],
) -> None:
    for block, (some_pixels, some_labels) in zip(blocks, rendered, strict=True):
        pixels[block.start : block.stop] = some_pixels
        labels[block.start : block.stop] = some_labels


def _rendered(seed: int, side: int, block: range) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    generators = [numpy_stream(seed, "scenes", "train", index) for index in block]
    scenes = [sample(generator) for generator in generators]
    pixels = to_pixels(render(scene, generator, side) for scene, generator in zip(scenes, generators, strict=True))
    return pixels, np.array([scene.indices for scene in scenes])
