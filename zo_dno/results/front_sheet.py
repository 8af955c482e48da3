"""A contact sheet along a front: its images in order, each with its rewards."""

from PIL import Image

from zo_dno.results.contact_sheet import Cell, contact_sheet
from zo_dno.results.front import Front
from zo_dno.results.strip import spread

MOST = 12  # images in all


def front_sheet(front: Front) -> Image.Image:
    """Return up to twelve images along the front, the first and the last among them."""
    rows = [front.rows[place] for place in spread(len(front), MOST)]
    return contact_sheet(
        [
            Cell(
                Image.fromarray(row.image),
                tuple(f"{name} {value:.4g}" for name, value in row.rewards.items()),
                (f"query {row.id + 1}",),
            )
            for row in rows
        ]
    )
