"""HTML that reports share: the page around them, tables, numbers, figures, and pictures inside of the file."""

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from zo_dno.storage.atomic import write_whole

if TYPE_CHECKING:
    from zo_dno.results.plot import Plot

FIGURES = "figures"  # folder beside a report


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


@dataclass(frozen=True, slots=True)
class Drawing:
    """Addresses that hold a figure as a drawing, for a wide page and for the screen of a phone."""

    wide: str
    narrow: str


def drawing(make: "Callable[..., Plot]") -> Drawing:
    """Return both drawings of a figure, which `make` makes with `narrow` or without."""
    return Drawing(make().address(), make(narrow=True).address())


def embedded(figure: "Plot") -> str:
    """Return the address of a picture that holds a figure."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return address(buffer.getvalue())


def write_figures(makers: "Mapping[str, Callable[..., Plot]]", beside: Path, kind: str) -> list[Path]:
    """Write the figures of a report into the folder `figures` beside it; returns their paths.

    Args:
        makers: Functions that make the figures, by name.
        beside: Path of the report.
        kind: Kind of the files: "svg", "pdf" or "png".
    Raises:
        StorageError: A file could not be written.
    """
    paths = [beside.parent / FIGURES / f"{name}.{kind}" for name in makers]
    for path, make in zip(paths, makers.values(), strict=True):
        write_whole(path, make().write)
    return paths


def address(png: bytes) -> str:
    """Return an address that holds an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
