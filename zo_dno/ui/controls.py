"""What a widget of a notebook is built of: texts, pictures, buttons and rows of them, by ipywidgets."""

import html
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from zo_dno.errors import InputError


class Controls:
    """Makes widgets. Whatever they are given as text stays text.

    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self) -> None:
        try:
            self._made_by: Any = importlib.import_module("ipywidgets")
        except ImportError as error:
            raise InputError(
                "ipywidgets must be installed to rate in a cell: pip install 'zo-dno[notebooks]'."
            ) from error

    def box(self, children: Sequence[Any] = ()) -> Any:
        """Stack widgets."""
        return self._made_by.VBox([*children])

    def row(self, children: Sequence[Any]) -> Any:
        """Put widgets side by side, in several lines where there is no room."""
        layout = self._made_by.Layout(flex_flow="row wrap", justify_content="center", grid_gap="0.5rem")
        return self._made_by.HBox([*children], layout=layout)

    def text(self, title: str, words: str = "") -> Any:
        """Write a title, and words below it."""
        heading = f"<b style='font-size: 1.2em'>{html.escape(title)}</b>" if title else ""
        below = f"<div style='opacity: .7; overflow-wrap: anywhere'>{html.escape(words)}</div>" if words else ""
        return self._made_by.HTML(f"<div style='text-align: center'>{heading}{below}</div>")

    def alert(self, words: str) -> Any:
        """Write what went wrong."""
        style = "border-left: .25rem solid #c4572b; background: #c4572b1a; padding: .3rem .6rem"
        return self._made_by.HTML(f"<div role='alert' style='{style}'>{html.escape(words)}</div>")

    def progress(self) -> Any:
        """Make a bar, to be filled by `fill`."""
        return self._made_by.HTML(layout=self._made_by.Layout(width="100%"))

    @staticmethod
    def fill(bar: Any, words: str, done: int, of: int) -> None:
        """Say how much of something is done."""
        progress = f"<progress max='{of or 1}' value='{done}' style='display: block; width: 100%'></progress>"
        bar.value = f"<div style='opacity: .8'>{html.escape(words)}</div>{progress}"

    def button(self, words: str, act: Callable[..., None], width: str = "auto") -> Any:
        """Make a button; `act` is given it when it is clicked."""
        made = self._made_by.Button(description=words, layout=self._made_by.Layout(width=width))
        made.on_click(act)
        return made

    def picture(self, png: bytes | None, width: str) -> Any:
        """Show an image."""
        layout = self._made_by.Layout(width=width, max_width="100%")
        return self._made_by.Image(value=png or b"", format="png", layout=layout)


def close(widget: Any) -> None:
    """Let go of a widget and of all that it is made of, here and in the browser."""
    for part in (*getattr(widget, "children", ()), *(getattr(widget, name, None) for name in ("layout", "style"))):
        if part is not None:
            close(part)
    widget.close()
