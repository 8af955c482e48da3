"""The files that a run leaves in its folder: pictures, noise and `result.json`."""

import json
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from PIL import Image

from zo_dno.results.diverse import Diverse
from zo_dno.results.diverse_sheet import diverse_sheet
from zo_dno.results.elites import Elites
from zo_dno.results.elites_sheet import elites_sheet
from zo_dno.results.front import Front
from zo_dno.results.front_figure import front_figure
from zo_dno.results.front_sheet import front_sheet
from zo_dno.results.progress_figure import progress_figure
from zo_dno.results.result import Result
from zo_dno.results.strip import strip
from zo_dno.search.archive import Found
from zo_dno.storage.atomic import write_text, write_whole
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.noise_files import NOISE_FILE, write_noise
from zo_dno.storage.run_folder import (
    DIVERSE_FOLDER,
    DIVERSE_SHEET,
    ELITES_FOLDER,
    ELITES_SHEET,
    FRONT_FIGURE,
    FRONT_FOLDER,
    FRONT_SHEET,
    RESULT,
)


def import_early() -> None:
    """Import in a thread what the figure needs, which takes a second, while images are rendered."""
    if "zo_dno.results.plot" not in sys.modules:
        threading.Thread(target=import_module, args=("zo_dno.results.plot",), name="import").start()


def write_outputs(folder: Path, result: Result) -> None:
    """Write everything that a run found; files of an earlier session are replaced.

    Args:
        folder: Folder of the run.
        result: Result of the run.
    Raises:
        StorageError: A file could not be written.
    """
    write_whole(folder / "first.png", result.first_image.save)
    write_whole(folder / "best.png", result.best_image.save)
    write_whole(folder / "strip.png", strip(result.improvements, result.unit).save)
    figure = progress_figure(result)
    write_whole(folder / "progress.png", lambda path: figure.savefig(path, dpi=130))
    write_noise(folder / NOISE_FILE, result.best.z)
    for place, found in enumerate(result.top if len(result.top) > 1 else (), 1):
        write_whole(folder / "top" / f"{place:02d}.png", Image.fromarray(found.image).save)
        write_noise(folder / "top" / f"{place:02d}.safetensors", found.z)
    if result.front is not None:
        _write_front(folder, result.front, result.history)
    if result.diverse is not None:
        _write_diverse(folder, result.diverse, result.unit)
    if result.elites is not None:
        _write_elites(folder, result.elites)
    text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(folder / RESULT, text + "\n")


def _write_front(folder: Path, front: Front, history: Sequence[QueryRow]) -> None:
    """Write a front: its figure, its contact sheet, and the image and noise of every candidate in order."""
    figure = front_figure(front, history)
    write_whole(folder / FRONT_FIGURE, lambda path: figure.savefig(path, dpi=130))
    if len(front):
        write_whole(folder / FRONT_SHEET, front_sheet(front).save)
    _write_each(folder / FRONT_FOLDER, [row.found for row in front])


def _write_diverse(folder: Path, diverse: Diverse, unit: str) -> None:
    """Write a diverse set: its contact sheet, and the image and noise of every member in order."""
    if len(diverse):
        write_whole(folder / DIVERSE_SHEET, diverse_sheet(diverse, unit).save)
    _write_each(folder / DIVERSE_FOLDER, [member.found for member in diverse])


def _write_elites(folder: Path, elites: Elites) -> None:
    """Write elites: their contact sheet, and the image and noise of each in the order of the cells."""
    write_whole(folder / ELITES_SHEET, elites_sheet(elites).save)
    _write_each(folder / ELITES_FOLDER, [one.found for one in elites])


def _write_each(folder: Path, several: Sequence[Found]) -> None:
    """Write image and noise of several candidates in order, and remove further ones of an earlier session."""
    for place, found in enumerate(several, 1):
        image, noise = files_of(folder, place)
        write_whole(image, Image.fromarray(found.image).save)
        write_noise(noise, found.z)
    for path in folder.glob("[0-9]*.*"):
        if path.stem.isdigit() and int(path.stem) > len(several):
            path.unlink()


def files_of(folder: Path, place: int) -> tuple[Path, Path]:
    """Return the files of the image and the noise of a candidate of several in a folder, counted from 1."""
    return folder / f"{place:03d}.png", folder / f"{place:03d}.safetensors"
