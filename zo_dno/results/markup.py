"""HTML that reports share: the page around them, tables, numbers, and pictures inside of the file."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; columns after the first are aligned to the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@cache
def templates(package: str) -> Environment:
    """Return the templates of a package, and those that reports share: `page.html`, `macros.html`."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "."), PackageLoader("zo_dno.results", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def share(value: float) -> str:
    """Return a share in percent, or a dash where there is none."""
    return "-" if math.isnan(value) else f"{value:.0%}"


def embedded(figure: "Figure") -> str:
    """Return the address of an image that holds a figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return address(buffer.getvalue())


def address(png: bytes) -> str:
    """Return an address that holds an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
