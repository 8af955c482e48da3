"""The progress of a run or a comparison in a notebook's cell."""

import html
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from zo_dno.ipython import show_html

if TYPE_CHECKING:
    from zo_dno.search.progress import Step

_INTERVAL = 0.2  # seconds between two updates of a bar


class ProgressCell:
    """A progress bar with figures in the cell that is running, updated a few times a second at most."""

    def __init__(self) -> None:
        self._replace: Callable[[str, str], None] | None = None
        self._updated = 0.0

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
        if done < total and time.monotonic() < self._updated + _INTERVAL:
            return
        self._updated = time.monotonic()
        bar = f'<progress value="{done}" max="{total}" style="width:16em"></progress> {html.escape(text)}'
        if self._replace is None:
            self._replace = show_html(bar, text)
        else:
            self._replace(bar, text)
