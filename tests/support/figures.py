"""A stand-in for the figure of a run's progress: the same data in a fraction of the time that matplotlib takes."""

import base64
import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zo_dno.comparison import report as comparison_report
from zo_dno.results import outputs
from zo_dno.results import report as run_report
from zo_dno.results.markup import Drawing, drawing
from zo_dno.results.plot import Plot
from zo_dno.results.progress_figure import best_so_far, progress_figure
from zo_dno.results.result import Result

_REPORTS = (run_report, comparison_report)


class LightFigure:
    """Picture of a single pixel whose description is a digest of all that the real figure shows."""

    def __init__(self, *shown: object) -> None:
        self._digest = hashlib.sha256(repr(shown).encode()).hexdigest()

    def savefig(self, path: Path | io.BytesIO, **_: object) -> None:
        """Write the picture as PNG."""
        description = PngInfo()
        description.add_text("digest", self._digest)
        Image.new("L", (1, 1)).save(path, "PNG", pnginfo=description)


def light_progress_figure(result: Result) -> LightFigure:
    """Return the stand-in for `progress_figure`."""
    queries = [(one.value, one.plausible and not one.reward_violation, one.log_prob) for one in result.history]
    baseline = None if result.baseline is None else (result.baseline.measured, list(result.baseline.curve))
    labels = (result.strategy, result.reward, result.unit, result.prompt or result.model)
    return LightFigure(queries, np.nan_to_num(best_so_far(result)).tolist(), baseline, labels, result.lowest_log_prob)


_EMPTY = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>').decode()


def light_drawing(make: Callable[..., Plot]) -> Drawing:
    """Return the stand-in for the drawings of a report, which take most of its time."""
    address = f"data:image/svg+xml;base64,{_EMPTY}"
    return Drawing(address, address)


@pytest.fixture(scope="session", autouse=True)
def light_figures() -> Iterator[None]:
    """Let the runs of all tests leave the light figure: most are a search of a second, which it would double."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "progress_figure", light_progress_figure)
        for report in _REPORTS:
            patch.setattr(report, "drawing", light_drawing)
        yield


@pytest.fixture(autouse=True)
def real_figure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a test that is marked `real_figure` leave that."""
    if request.node.get_closest_marker("real_figure") is not None:
        monkeypatch.setattr(outputs, "progress_figure", progress_figure)
        for report in _REPORTS:
            monkeypatch.setattr(report, "drawing", drawing)
