"""A stand-in for the figure of a run's progress: the same data in a fraction of the time that matplotlib takes."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from zo_dno.results import outputs
from zo_dno.results.progress_figure import best_so_far, progress_figure
from zo_dno.results.result import Result


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


@pytest.fixture(scope="session", autouse=True)
def light_figures() -> Iterator[None]:
    """Let the runs of all tests leave the light figure: most are a search of a second, which it would double."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "progress_figure", light_progress_figure)
        yield


@pytest.fixture(autouse=True)
def real_figure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a test that is marked `real_figure` leave that."""
    if request.node.get_closest_marker("real_figure") is not None:
        monkeypatch.setattr(outputs, "progress_figure", progress_figure)
