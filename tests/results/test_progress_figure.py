"""The figure of a run's progress shows the run's own numbers, and so does the light one that most tests have."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import zo_dno
from tests.support.figures import light_progress_figure
from tests.support.toys import ToyGenerator
from zo_dno.results.progress_figure import best_so_far, progress_figure

pytestmark = pytest.mark.real_figure
OPTIONS = {"queries": 32, "strategy_options": {"population": 8}}


def result(seed=0, **options):
    return zo_dno.optimize(ToyGenerator(), "brightness", "snes", seed=seed, **OPTIONS, **options)


def test_it_shows_each_candidate_the_best_so_far_and_best_of_n():
    run = result(baseline=16)
    above, below = progress_figure(run).axes
    points = np.concatenate([scatter.get_offsets() for scatter in above.collections])
    expected = [(number, query.value) for number, query in enumerate(run.history, 1)]
    assert sorted(map(tuple, points)) == pytest.approx(expected)
    best, best_of_n = above.lines
    assert best.get_ydata() == pytest.approx(best_so_far(run), nan_ok=True)
    assert best.get_ydata()[-1] == run.best.reward
    assert best_of_n.get_ydata() == pytest.approx(run.baseline.curve, nan_ok=True)
    log_prob, threshold = below.lines
    assert log_prob.get_ydata() == pytest.approx([query.log_prob for query in run.history])
    assert set(threshold.get_ydata()) == {run.lowest_log_prob}
    assert run.lowest_log_prob == pytest.approx(-2.3, abs=0.3)  # one true draw in a hundred lies below
    assert above.get_ylabel() == f"brightness / {run.unit}"


@pytest.mark.parametrize(
    ("prompt", "unit", "strategy"), [("a $$ chain", "a sign: $_$", "$5}$"), ("$5}$", "price $5{ to $6", "_hidden")]
)
def test_texts_of_others_are_shown_as_they_are(prompt, unit, strategy):
    """Unlike mathematics, which spends a run before its figure fails."""
    figure = progress_figure(replace(result(), prompt=prompt, unit=unit, strategy=strategy))
    figure.savefig(io.BytesIO(), dpi=20)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == prompt
    assert axes.get_ylabel() == f"brightness / {unit}"
    assert f"{strategy}, best so far" in [label.get_text() for label in axes.get_legend().get_texts()]


def test_a_run_leaves_it(tmp_path):
    result(out=tmp_path / "run")
    with Image.open(tmp_path / "run" / "progress.png") as picture:
        assert picture.size == (8 * 130, int(5.4 * 130))


def test_equal_runs_have_equal_light_figures_and_others_other_ones():
    def picture(run):
        file = io.BytesIO()
        light_progress_figure(run).savefig(file, dpi=130)
        return file.getvalue()

    run = result()
    assert picture(result()) == picture(run)
    assert (
        len(
            {
                picture(run),
                picture(replace(run, lowest_log_prob=-3.0)),
                picture(result(seed=1)),
                picture(result(baseline=16)),
            }
        )
        == 4
    )
