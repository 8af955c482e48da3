"""What is said about a result in words."""

import json
from pathlib import Path

import numpy as np
import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.results.report import write_run_report
from zo_dno.results.verdict import what_held_out_says
from zo_dno.ui import display


@pytest.mark.parametrize(
    ("first", "best", "said"),
    [
        (0.97, 0.6, "fell from 0.97 to 0.6, by 38%"),
        (-2.0, -2.3, "fell from -2 to -2.3, by 15%"),
        (0.97, 0.88, None),
        (0.5, 0.9, None),
        (None, 0.1, None),
        (0.5, None, None),
    ],
)
def test_a_held_out_reward_that_fell_is_named(first, best, said):
    sentences = what_held_out_says({"prompt_match": (first, best)})
    assert bool(sentences) == (said is not None)
    assert all(said in one for one in sentences)


def test_a_reward_that_likes_noise_is_seen_through(tmp_path, capsys):
    def rough(images, prompts):
        return [float(np.abs(np.diff(np.asarray(image, float), axis=0)).mean()) for image in images]

    def smooth(images, prompts):
        return [70 - value for value in rough(images, prompts)]

    result = zo_dno.optimize(ToyGenerator(), rough, queries=64, held_out=[smooth], threads=1, out=tmp_path / "run")
    first, best = result.held_out["smooth"]
    assert best < 0.9 * first
    display.summary(result)
    assert "smooth (held out) fell from" in " ".join(capsys.readouterr().out.split())
    page = write_run_report(tmp_path / "run").read_text()
    assert "only fools the reward" in page
    assert json.loads(Path(tmp_path / "run" / "result.json").read_text())["held_out"]["smooth"]["best"] == best
