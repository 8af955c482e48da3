"""Contact sheets: images side by side in rows, each with lines of text below."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from zo_dno.results.scaling import scaled

_SIDE, _MARGIN, _LINE = 192, 8, 18  # pixels
_INK, _QUIET, _PAPER = (30, 30, 30), (110, 114, 124), (255, 255, 255)
ACROSS = 6  # images side by side


@dataclass(frozen=True, slots=True)
class Cell:
    """An image of a sheet.

    Attributes:
        image: Image.
        lines: Lines below it.
        quiet: Lines below these, small and grey.
    """

    image: Image.Image
    lines: tuple[str, ...]
    quiet: tuple[str, ...] = ()


def contact_sheet(cells: Sequence[Cell], across: int = ACROSS) -> Image.Image:
    """Return a sheet of images, in rows of up to `across`."""
    images = [scaled(cell.image, _SIDE) for cell in cells]
    caption = _LINE * max((len(cell.lines) + len(cell.quiet) for cell in cells), default=0)
    width = max((image.width for image in images), default=_SIDE)
    height = max((image.height for image in images), default=_SIDE)
    columns, rows = max(1, min(across, len(images))), max(1, -(-len(images) // across))
    size = width + _MARGIN, height + caption + _MARGIN
    sheet = Image.new("RGB", (columns * size[0] + _MARGIN, rows * size[1] + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (cell, image) in enumerate(zip(cells, images, strict=True)):
        left, top = (
            _MARGIN + number * side for number, side in zip((place % across, place // across), size, strict=True)
        )
        sheet.paste(image, (left, top))
        below = top + height + 4
        for text in cell.lines:
            draw.text((left, below), text, _INK, ImageFont.load_default(13))
            below += _LINE
        for text in cell.quiet:
            draw.text((left, below), text, _QUIET, ImageFont.load_default(11))
            below += _LINE
    return sheet
