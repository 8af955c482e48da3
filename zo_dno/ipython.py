"""IPython: whether this code runs in a notebook, and HTML in the cell that is running."""

import sys
from collections.abc import Callable
from typing import Any


def in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, which can show HTML."""
    ipython = sys.modules.get("IPython")  # where there is a kernel, it is imported
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def show_html(markup: str, text: str) -> Callable[[str, str], None]:
    """Show HTML in the cell that is running, or a text where a front end shows no HTML.

    Returns:
        A function that replaces both by others.
    """
    from IPython.display import display

    display_data: Any = display
    shown = display_data(_data(markup, text), raw=True, display_id=True)
    return lambda markup, text: shown.update(_data(markup, text), raw=True)


def _data(markup: str, text: str) -> dict[str, str]:
    return {"text/html": markup, "text/plain": text}
