"""A contact sheet of elites: the image of every cell at its place, the first measure to the right, the second up."""

from PIL import Image, ImageDraw, ImageFont

from zo_dno.results.elites import Elites
from zo_dno.results.scaling import scaled

_SIDE, _GAP, _LEFT, _BELOW = 72, 3, 58, 40  # pixels
_INK, _EMPTY, _PAPER = (30, 30, 30), (232, 233, 237), (255, 255, 255)


def elites_sheet(elites: Elites) -> Image.Image:
    """Return the images of all cells; those without an elite are grey."""
    grid, across = elites.grid, elites.grid.cells
    to_the_right, *upwards = grid.names
    down = across if upwards else 1
    step = _SIDE + _GAP
    sheet = Image.new("RGB", (_LEFT + across * step + _GAP, down * step + _BELOW + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    images = {one.cell: one.found.image for one in elites}
    for x in range(across):
        for y in range(down):
            left, top = _LEFT + x * step, (down - 1 - y) * step + _GAP
            draw.rectangle((left, top, left + _SIDE - 1, top + _SIDE - 1), _EMPTY)
            cell = (x, y) if upwards else (x,)
            if cell in images:
                sheet.paste(scaled(Image.fromarray(images[cell]), _SIDE), (left, top))
    font, bottom = ImageFont.load_default(12), down * step + _GAP + 4
    low, high = grid.ranges[0]
    draw.text((_LEFT, bottom), f"{low:.3g}", _INK, font)
    draw.text((_LEFT + across * step // 2, bottom + 16), to_the_right, _INK, font, anchor="ma")
    draw.text((_LEFT + across * step - _GAP, bottom), f"{high:.3g}", _INK, font, anchor="ra")
    if upwards:
        low, high = grid.ranges[1]
        draw.text((_LEFT - 6, down * step - 16), f"{low:.3g}", _INK, font, anchor="ra")
        draw.text((_LEFT - 6, _GAP), f"{high:.3g}", _INK, font, anchor="ra")
        turned = Image.new("RGB", (down * step, 18), _PAPER)
        ImageDraw.Draw(turned).text((turned.width // 2, 2), upwards[0], _INK, font, anchor="ma")
        sheet.paste(turned.rotate(90, expand=True).crop((0, 24, 18, down * step - 24)), (2, 24))
    return sheet
