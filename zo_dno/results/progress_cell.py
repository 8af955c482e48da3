"""Notebooks: whether this is one, progress in a cell of it, and the rating page, or how to get at it from elsewhere."""

import html
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, select_autoescape

if TYPE_CHECKING:
    from zo_dno.search.loop import Step

_OVER = "The images were rated here."
_BETWEEN = 0.2  # seconds between two pictures of a bar


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
    return environment.get_template("rating_cell.html").render(link=link, mark=mark)


def show_page(link: str, mark: str) -> Callable[[], None]:
    """Show a page in the cell that is running, which may well be waiting for it.

    Returns:
        takes the page out of the notebook again, and with it the token, which is saved with the notebook otherwise.
    """
    shown = _display(page_cell(link, mark), f"Rate the images at {link}")
    return lambda: shown.update(_data(f"<p>{_OVER}</p>", _OVER), raw=True)


class ProgressCell:
    """A bar with figures in the cell that is running, made anew a few times a second at most."""

    def __init__(self) -> None:
        self._shown: Any = None
        self._looked = 0.0

    def step(self, step: "Step") -> None:
        """Show how far a run is."""
        best = "-" if step.best is None or step.best.reward is None else f"{step.best.reward:.4g}"
        words = [f"{step.stage}: {step.queries} of {step.planned} queries", f"best {best}"]
        words += [f"log P {step.median_log_prob:.2f}", f"{step.images_per_second:.0f} images/s"]
        words += [f"cost {step.cost:.3g}"] if step.cost else []
        words += [f"{step.failed} missing"] if step.failed else []
        self.show(step.queries, step.planned, " · ".join(words))

    def trials(self, done: int, total: int) -> None:
        """Show how far a comparison is."""
        self.show(done, total, f"{done} of {total} runs")

    def show(self, done: int, total: int, text: str) -> None:
        """Show a bar and a line of text."""
        if done < total and time.monotonic() < self._looked + _BETWEEN:
            return
        self._looked = time.monotonic()
        bar = f'<progress value="{done}" max="{total}" style="width:16em"></progress> {html.escape(text)}'
        if self._shown is None:
            self._shown = _display(bar, text)
        else:
            self._shown.update(_data(bar, text), raw=True)


def _display(markup: str, text: str) -> Any:
    from IPython.display import display

    display_data: Any = display
    return display_data(_data(markup, text), raw=True, display_id=True)


def _data(markup: str, text: str) -> dict[str, str]:
    return {"text/html": markup, "text/plain": text}
