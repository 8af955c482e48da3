"""The building blocks of a notebook's widget, by ipywidgets: texts, images, buttons, rows."""

import html
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from zo_dno.errors import InputError


class Controls:
    """Makes widgets; texts are escaped.

    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self) -> None:
        try:
            self._ipywidgets: Any = importlib.import_module("ipywidgets")
        except ImportError as error:
            raise InputError(
                "ipywidgets must be installed to rate in a cell: pip install 'zo-dno[notebooks]'."
            ) from error

    def box(self, children: Sequence[Any] = ()) -> Any:
        """Stack widgets."""
        return self._ipywidgets.VBox([*children])

    def row(self, children: Sequence[Any]) -> Any:
        """Put widgets side by side, in several lines where one is too short."""
        layout = self._ipywidgets.Layout(flex_flow="row wrap", justify_content="center", grid_gap="0.5rem")
        return self._ipywidgets.HBox([*children], layout=layout)

    def text(self, title: str, words: str = "") -> Any:
        """Show a title, and words below it."""
        heading = f"<b style='font-size: 1.2em'>{html.escape(title)}</b>" if title else ""
        below = f"<div style='opacity: .7; overflow-wrap: anywhere'>{html.escape(words)}</div>" if words else ""
        return self._ipywidgets.HTML(f"<div style='text-align: center'>{heading}{below}</div>")

    def alert(self, words: str) -> Any:
        """Show a message about what went wrong."""
        style = "border-left: .25rem solid #c4572b; background: #c4572b1a; padding: .3rem .6rem"
        return self._ipywidgets.HTML(f"<div role='alert' style='{style}'>{html.escape(words)}</div>")

    def progress(self) -> Any:
        """Make a progress bar, which `fill` updates."""
        return self._ipywidgets.HTML(layout=self._ipywidgets.Layout(width="100%"))

    @staticmethod
    def fill(bar: Any, words: str, done: int, of: int) -> None:
        """Update a progress bar and the words above it."""
        progress = f"<progress max='{of or 1}' value='{done}' style='display: block; width: 100%'></progress>"
        bar.value = f"<div style='opacity: .8'>{html.escape(words)}</div>{progress}"

    def button(self, words: str, act: Callable[..., None], width: str = "auto") -> Any:
        """Make a button; a click calls `act` with the button."""
        made = self._ipywidgets.Button(description=words, layout=self._ipywidgets.Layout(width=width))
        made.on_click(act)
        return made

    def picture(self, png: bytes | None, width: str) -> Any:
        """Show an image."""
        layout = self._ipywidgets.Layout(width=width, max_width="100%")
        return self._ipywidgets.Image(value=png or b"", format="png", layout=layout)


def close(widget: Any) -> None:
    """Close a widget and all its children, in the kernel and in the browser."""
    for child in (*getattr(widget, "children", ()), *(getattr(widget, name, None) for name in ("layout", "style"))):
        if child is not None:
            close(child)
    widget.close()
