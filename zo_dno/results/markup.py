"""What the reports share: the page around them, tables, numbers, pictures inside of the file."""

import base64
import html
import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --dim: #5d6778; --paper: #fff; --line: #dde2ea; --card: #f6f8fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf3; --dim: #9aa5b8; --paper: #12161e; --line: #2b3342; --card: #1a202b; }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem }
p.lead { color: var(--dim); margin: 0 0 1rem }
.pair { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 }
figcaption { color: var(--dim); font-size: .9rem }
.pair figure { flex: 1 1 14rem } .pair img { width: 100%; image-rendering: auto; border-radius: .4rem }
img { max-width: 100%; height: auto }
.plot { background: #fff; border-radius: .4rem; padding: .5rem; width: 100%; min-width: 36rem }
.strip { overflow-x: auto } .strip img { max-width: none }
.grid { display: flex; flex-wrap: wrap; gap: .75rem } .grid figure { flex: 0 0 9rem } .grid img { width: 9rem }
h3 { font-size: .95rem; margin: 1.25rem 0 .4rem; font-weight: 600 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right } td.n { white-space: nowrap } .wide { overflow-x: auto }
pre { background: var(--card); padding: .75rem; border-radius: .4rem; overflow-x: auto; font-size: .85rem }
.warn { border-left: 4px solid #d1495b; padding: .3rem .75rem; background: var(--card) }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """Return a whole HTML page that needs nothing else, readable on a phone, light and dark."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{html.escape(title)} · zo-dno</title><link rel="icon" href="data:,">',
            f"<style>{_STYLE}</style></head>",
            "<body>",
            *parts,
            "</body></html>",
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as an HTML table; numbers stand right."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if place else ''}>{html.escape(str(cell))}</{tag}>" for place, cell in enumerate(row)
        )

    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return f'<div class="wide"><table><tr>{cells(head, "th")}</tr>{"".join(lines)}</table></div>'


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def embedded(figure: "Figure") -> str:
    """Return a figure as the address of an image that holds it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return address(buffer.getvalue())


def address(png: bytes) -> str:
    """Return an image as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
