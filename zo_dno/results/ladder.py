"""The files of a ladder of distances: a contact sheet with a row for each, and image and noise of every mixture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zo_dno.results.contact_sheet import Cell, contact_sheet
from zo_dno.storage.atomic import write_whole
from zo_dno.storage.noise_files import write_noise
from zo_dno.storage.run_folder import make_folder

if TYPE_CHECKING:
    from torch import Tensor

SHEET = "ladder.png"


def write_ladder(folder: Path, rungs: Sequence[tuple[float, "Tensor", Sequence[np.ndarray]]]) -> None:
    """Write a ladder: `ladder.png`, and `DISTANCE/1.png` and `DISTANCE/1.safetensors` and so on.

    Args:
        folder: Folder to write to.
        rungs: Distance, noise (n, d) and images of every row.
    Raises:
        StorageError: A file could not be written.
    """
    cells, across = [], max(len(images) for _, _, images in rungs)
    for distance, z, images in rungs:
        make_folder(folder / f"{distance:g}")
        for place, (noise, image) in enumerate(zip(z, images, strict=True), 1):
            cells.append(Cell(Image.fromarray(image), (f"distance {distance:g}",), (f"{distance:g}/{place}",)))
            write_whole(folder / f"{distance:g}" / f"{place}.png", Image.fromarray(image).save)
            write_noise(folder / f"{distance:g}" / f"{place}.safetensors", noise)
    write_whole(folder / SHEET, contact_sheet(cells, across).save)
