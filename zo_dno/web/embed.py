"""The rating page in a notebook's cell."""

from collections.abc import Callable

from jinja2 import Environment, PackageLoader, select_autoescape

from zo_dno.ipython import show_html

_OVER = "The images were rated here."


def page_cell(link: str, mark: str) -> str:
    """Return HTML that shows a page of this machine in a cell, or says how to reach it.

    The browser may be on another machine, where nothing or another server listens on that port. So a script asks the
    server for its mark before it opens the link, which holds the token. It also takes the name of this machine that the
    notebook was opened by, since a browser keeps the cookies of `localhost` from a page of `127.0.0.1`. Where no script
    runs, the cell shows the link.

    Args:
        link: Address of the page, with its token.
        mark: Text that the page's server returns at `/here`.
    """
    environment = Environment(loader=PackageLoader("zo_dno.web", "."), autoescape=select_autoescape())
    return environment.get_template("rating_cell.html").render(link=link, mark=mark)


def show_page(link: str, mark: str) -> Callable[[], None]:
    """Show a page in the cell that is running, even one that waits for the ratings.

    Returns:
        A function that takes the page out of the notebook, and with it the token, which would be saved with the
        notebook otherwise.
    """
    replace = show_html(page_cell(link, mark), f"Rate the images at {link}")
    return lambda: replace(f"<p>{_OVER}</p>", _OVER)
