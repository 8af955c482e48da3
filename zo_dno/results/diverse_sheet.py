"""A contact sheet of a diverse set: its images, best first, each with its reward and its nearest neighbour."""

from PIL import Image

from zo_dno.results.contact_sheet import Cell, contact_sheet
from zo_dno.results.diverse import Diverse


def diverse_sheet(diverse: Diverse, unit: str) -> Image.Image:
    """Return the images of a set, which has a member at least."""
    cells = [
        Cell(
            Image.fromarray(one.image),
            (f"{one.reward:.4g} {unit}".rstrip(),),
            (*([] if one.nearest is None else [f"nearest {one.nearest:.3g} away"]), f"query {one.id + 1}"),
        )
        for one in diverse
    ]
    return contact_sheet(cells)
