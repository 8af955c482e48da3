"""A contact sheet along a front: its images in order, each with its rewards."""

from PIL import Image, ImageDraw, ImageFont

from zo_dno.results.front import Front
from zo_dno.results.scaling import scaled
from zo_dno.results.strip import spread

_SIDE, _MARGIN, _LINE = 192, 8, 18  # pixels
_INK, _QUIET, _PAPER = (30, 30, 30), (110, 114, 124), (255, 255, 255)
MOST, ACROSS = 12, 6  # images in all, and side by side


def front_sheet(front: Front) -> Image.Image:
    """Return up to twelve images along the front, the first and the last among them."""
    rows = [front.rows[place] for place in spread(len(front), MOST)]
    images = [scaled(Image.fromarray(row.image), _SIDE) for row in rows]
    caption = _LINE * (len(front.rewards) + 1)
    width = max((image.width for image in images), default=_SIDE)
    height = max((image.height for image in images), default=_SIDE)
    across, down = max(1, min(ACROSS, len(images))), max(1, -(-len(images) // ACROSS))
    cell = width + _MARGIN, height + caption + _MARGIN
    sheet = Image.new("RGB", (across * cell[0] + _MARGIN, down * cell[1] + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, (row, image) in enumerate(zip(rows, images, strict=True)):
        left, top = (
            _MARGIN + number * size for number, size in zip((place % ACROSS, place // ACROSS), cell, strict=True)
        )
        sheet.paste(image, (left, top))
        below = top + height + 4
        for line, (name, value) in enumerate(row.rewards.items()):
            text = f"{name} {value:.4g}"
            draw.text((left, below + line * _LINE), text, _INK, ImageFont.load_default(13))
        draw.text((left, below + len(row.rewards) * _LINE), f"query {row.id + 1}", _QUIET, ImageFont.load_default(11))
    return sheet
