"""Notebooks: whether this is one, and the rating page in a cell of it."""

import html
import json
import secrets
from typing import Any
from urllib.parse import urlsplit

_CELL = """
<iframe id="{id}" style="width: 100%; height: {height}px; border: 0" title="rating page"></iframe>
<script>
(() => {{
  const link = new URL({link}), frame = document.getElementById("{id}");
  if (["localhost", "127.0.0.1"].includes(location.hostname)) link.hostname = location.hostname;
  else if (location.protocol.startsWith("http")) {{
    frame.outerHTML = "<p>" + {elsewhere} + "</p>";
    return;
  }}
  frame.src = link;
}})();
</script>
"""  # the name that the notebook has is the name that its cells' cookies are for


def in_notebook() -> bool:
    """Whether this code runs in a notebook's kernel, which can show HTML."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None


def page_cell(link: str, height: int = 760) -> str:
    """Return HTML that shows a page of this machine in a cell; a notebook that is open elsewhere says how to get at it.

    Args:
        link: of the page.
        height: of the cell, in pixels.
    """
    port, shown = urlsplit(link).port, html.escape(link)
    elsewhere = (
        "The rating page is served on the notebook's machine alone. Bring its port here with "
        f"<code>ssh -L {port}:127.0.0.1:{port} HOST</code>, and open <a href='{shown}'>{shown}</a>."
    )
    return _CELL.format(
        id=f"zo-dno-{secrets.token_hex(4)}", height=height, link=_script(link), elsewhere=_script(elsewhere)
    )


def show_page(link: str) -> None:
    """Show a page in the cell that is running, which may well be waiting for it."""
    from IPython.display import HTML, display

    show: Any = display
    show(HTML(page_cell(link)))


def _script(text: str) -> str:
    """Write a text as a script's own, which nothing in it can end."""
    return json.dumps(text).replace("<", "\\u003c")
