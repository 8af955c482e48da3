"""A strip of captioned images from the first to the best."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from zo_dno.results.scaling import scaled
from zo_dno.search.archive import Found

_SIDE = 192  # pixels of an image's longer side
_MARGIN = 8
_CAPTION = 34
_INK, _QUIET, _PAPER = (24, 26, 32), (110, 114, 124), (255, 255, 255)


def strip(improvements: Sequence[Found], unit: str, *, longest: int = 6) -> Image.Image:
    """Return up to `longest` of the improvements side by side, the first and the last among them."""
    shown = steps(improvements, longest=longest)
    images = [step_image(found) for found in shown]
    width, height = max(image.width for image in images), max(image.height for image in images)
    sheet = Image.new("RGB", (len(images) * (width + _MARGIN) + _MARGIN, height + 2 * _MARGIN + _CAPTION), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (found, image) in enumerate(zip(shown, images, strict=True)):
        left = _MARGIN + i * (width + _MARGIN)
        sheet.paste(image, (left, _MARGIN))
        draw.text((left, height + _MARGIN + 3), f"{found.reward:.4g} {unit}", _INK, ImageFont.load_default(15))
        draw.text((left, height + _MARGIN + 20), f"query {found.id + 1}", _QUIET, ImageFont.load_default(11))
    return sheet


def steps(improvements: Sequence[Found], *, longest: int = 6) -> list[Found]:
    """Return up to `longest` of the improvements at equal distances, the first and the last among them."""
    return [improvements[place] for place in spread(len(improvements), longest)]


def spread(n: int, longest: int) -> list[int]:
    """Return at most `longest` of n places at equal distances, the first and the last among them."""
    return [round(i * (n - 1) / (longest - 1)) for i in range(longest)] if n > longest else [*range(n)]


def step_image(found: Found) -> Image.Image:
    """Return the image of an improvement at the strip's size."""
    return scaled(Image.fromarray(found.image), _SIDE)
