"""The rating page in a notebook's cell: shown where the browser can reach it, else as a link."""

import sys
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, Template, select_autoescape

_CLOSED = "The images were rated here."


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this code."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def show_in_cell(link: str, mark: str) -> Callable[[], None]:
    """Show a page in the cell that is being run.

    The cell asks what answers at the link for its mark before it opens it: the browser may be on another machine, where
    something else has that port. A script does so, and takes the name of this machine that the notebook was opened by,
    since a browser keeps the cookies of `localhost` from a page of `127.0.0.1`. Without scripts there is the link.

    Args:
        link: of the page, with its token.
        mark: what the page answers at `/here`.
    Returns:
        takes the page and its link, which nobody needs any more, out of the notebook again.
    """
    from IPython.display import display

    html = _template().render(link=link, mark=mark)
    shown: Any = display(_data(html, f"Rate the images at {link}"), raw=True, display_id=True)
    return lambda: shown.update(_data(f"<p>{_CLOSED}</p>", _CLOSED), raw=True)


def _template() -> Template:
    environment = Environment(loader=PackageLoader("zo_dno.web", "."), autoescape=select_autoescape())
    return environment.get_template("cell.html")


def _data(html: str, text: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": text}
