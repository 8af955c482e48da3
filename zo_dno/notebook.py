"""Notebooks: whether this is one, and the rating page in a cell of it, or how to get at it from elsewhere."""

import sys
from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

_OVER = "The images were rated here."


def in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, which can show HTML."""
    ipython = sys.modules.get("IPython")  # where there is a kernel, it is there
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def page_cell(link: str, mark: str) -> str:
    """Return HTML that shows a page of this machine in a cell, or says how to get at it.

    The browser may be on another machine, where nobody has that port, or something else. So a script asks what answers
    there for its mark before it opens the link, which holds the token. It also takes the name of this machine that the
    notebook was opened by, since a browser keeps the cookies of `localhost` from a page of `127.0.0.1`. Where no script
    runs, there is the link.

    Args:
        link: of the page, with its token.
        mark: what the page answers at `/here`.
    """
    environment = Environment(loader=PackageLoader("zo_dno.web", "."), autoescape=select_autoescape())
    return environment.get_template("cell.html").render(link=link, mark=mark)


def show_page(link: str, mark: str) -> Callable[[], None]:
    """Show a page in the cell that is running, which may well be waiting for it.

    Returns:
        takes the page out of the notebook again, and with it the token, which is saved with the notebook otherwise.
    """
    from IPython.display import display

    display_data: Any = display
    shown = display_data(_data(page_cell(link, mark), f"Rate the images at {link}"), raw=True, display_id=True)
    return lambda: shown.update(_data(f"<p>{_OVER}</p>", _OVER), raw=True)


def _data(html: str, text: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": text}
