"""Figures without pyplot: in notebooks, in pages of a light or a dark theme, and in files."""

import base64
import io
import re
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.figure import Figure

from zo_dno.failures import printable
from zo_dno.results.plain_text import PLAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, RED, GREY = "#30638e", "#d1495b", "#8d99ae"
PALETTE = (BLUE, RED, "#00798c", "#edae49", "#6a4c93", "#5f8d4e", "#8c6d46", "#3d405b", "#b56576", "#e07a5f")
"""Colours of the lines of a comparison, in order."""

_IN_THE_DARK = {  # colours that are too dark on a dark page, and matplotlib's own of axes, grids and legends
    BLUE: "#6fa8d6",
    RED: "#e56b7b",
    "#00798c": "#35a9bb",
    "#6a4c93": "#a78bd0",
    "#5f8d4e": "#84b873",
    "#8c6d46": "#bd9a6c",
    "#3d405b": "#9da1c9",
    "#000000": "#9aa5b8",
    "#cccccc": "#2b3342",
    "#ffffff": "#12161e",
}
_STYLE = "".join(
    f'[style*="{part}: {light}"]{{{part}:{dark} !important}}'
    for light, dark in _IN_THE_DARK.items()
    for part in ("stroke", "fill")
)
_DARK = f"<style>@media (prefers-color-scheme: dark){{text{{fill:#e8ecf3}}{_STYLE}}}</style></svg>"
_STEADY: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "zo-dno",
    "pdf.fonttype": 42,
    "font.sans-serif": ["DejaVu Sans"],
}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MANY_POINTS = 2000
"""Number of points above which they become one picture in a drawing, which would be large and slow to show."""


class Plot(Figure):
    """A figure that notebooks show by itself, and that becomes a drawing for pages or a file.

    Args:
        width: Width in inches.
        height: Height in inches.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")

    def savefig(self, *arguments: Any, **options: Any) -> None:
        """Write the figure; characters that the font lacks become boxes, without a warning for each of them."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph .* missing")
            super().savefig(*arguments, **options)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()

    def write(self, path: Path) -> None:
        """Write the figure as its name's ending says: `.svg`, `.pdf` or `.png`; equal figures give equal files."""
        kind = path.suffix[1:]
        date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        with matplotlib.rc_context(_STEADY):
            self.savefig(path, format=kind, dpi=200, metadata=date)

    def drawing(self) -> str:
        """Return the figure as SVG whose colours follow the theme of the page."""
        buffer = io.StringIO()
        with matplotlib.rc_context(_STEADY):
            self.savefig(buffer, format="svg", dpi=150, transparent=True, metadata={"Date": None})
        text = _NOT_IN_XML.sub("", buffer.getvalue())
        return text[text.index("<svg") :].rstrip().removesuffix("</svg>") + _DARK

    def address(self) -> str:
        """Return an address that holds the drawing."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.drawing().encode()).decode()}"


def scatter(axes: "Axes", x: Any, y: Any, **style: Any) -> Any:
    """Add points without edges to axes; many of them become one picture in a drawing."""
    return axes.scatter(x, y, rasterized=len(x) > MANY_POINTS, **{"lw": 0, **style})


def heading(axes: "Axes", text: str, *, size: float, narrow: bool = False) -> None:
    """Set a title at the left that is broken into lines where it would leave the figure."""
    axes.set_title(textwrap.fill(printable(text), 48 if narrow else 96), loc="left", fontsize=size, **PLAIN)


def plain(axes: "Axes") -> None:
    """Leave out the frame's upper and right edge, and add a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
