"""A result that is read back is the one that was there."""

import json
import shutil

import numpy as np
import pytest

import zo_dno
from zo_dno import InputError

SAME = (
    *("status", "prompt", "model", "reward", "unit", "strategy", "seed", "queries", "nfe", "failed_queries", "cost"),
    *(
        "cached_queries",
        "stopped_by",
        "tokens",
        "drift",
        "history",
        "held_out",
        "baseline",
        "unmet",
        "scales",
        "infeasible",
    ),
    *("repeats", "noise", "folder"),
)
ROWS = ("id", "reward", "log_prob", "norm_ratio", "whiteness", "plausible", "feasible", "sha256", "n_scores", "error")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"baseline": "equal", "top": 3, "held_out": ["contrast"]},
        {"strategy": "random_search", "min_log_prob": None},  # whose draws are all from the prior
        {"require": ["contrast >= 0.45"]},
        {"repeats": 8, "min_log_prob": None},
        {
            "strategy": "hill_climb",
            "reward": "weighted_sum",
            "reward_options": {"parts": {"brightness": 1, "contrast": 2}},
        },
    ],
)
@pytest.mark.fast_cases(2)
def test_it_is_the_result_that_optimize_returned(toy, tmp_path, options):
    given = {"reward": "brightness", "queries": 40, "threads": 1, "keep_images": 1, **options}
    result = zo_dno.optimize(toy, out=tmp_path / "run", **given)
    loaded = zo_dno.load(tmp_path / "run")
    for name in SAME:
        assert getattr(loaded, name) == getattr(result, name), name
    pairs = [(result.first, loaded.first), (result.best, loaded.best), *zip(result.top, loaded.top, strict=True)]
    pairs += zip(result.improvements, loaded.improvements, strict=True)
    for ours, theirs in pairs:
        assert [getattr(ours, name) for name in ROWS] == [getattr(theirs, name) for name in ROWS]
        assert np.array_equal(ours.image, theirs.image)
    assert loaded.best.z.equal(result.best.z)
    assert loaded.to_dict()["best"] == result.to_dict()["best"]
    assert "best" in loaded._repr_html_()


def test_the_noise_of_the_first_candidate_is_there_where_it_is_the_best(toy, tmp_path):
    result = zo_dno.optimize(toy, "brightness", queries=1, threads=1, out=tmp_path / "run")
    loaded = zo_dno.load(tmp_path / "run")
    assert loaded.first.id == loaded.best.id
    assert loaded.first.z.equal(result.first.z)
    for wrong in (3, None):
        with pytest.raises(InputError, match=f"run must be the folder of a run; got {wrong}"):
            zo_dno.load(wrong)


def test_a_picture_that_is_damaged_is_named(toy, tmp_path):
    zo_dno.optimize(toy, "brightness", queries=8, threads=1, out=tmp_path / "run")
    (tmp_path / "run" / "best.png").write_text("no picture")
    loaded = zo_dno.load(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"image .*best.png cannot be used: it is no PNG. Write it again: zo-dno resume"
    ):
        _ = loaded.best.image


def test_noise_that_was_not_kept_is_nan_and_an_image_that_is_gone_is_named(toy, tmp_path):
    zo_dno.optimize(toy, "brightness", queries=40, threads=1, out=tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "images")
    loaded = zo_dno.load(tmp_path / "run")
    assert bool(loaded.improvements[1].z.isnan().all())
    with pytest.raises(InputError, match=r"image of candidate \d+ was not kept .* keep_images=1"):
        _ = loaded.improvements[1].image
    assert loaded.best.image.shape == (8, 8, 3)


def test_the_estimate_of_an_older_run_is_from_its_first_population(toy, tmp_path):
    result = zo_dno.optimize(toy, "brightness", "snes", queries=40, threads=1, out=tmp_path / "run")
    path = tmp_path / "run" / "result.json"
    content = json.loads(path.read_text())
    assert content["baseline"].pop("draws") == result.baseline.draws
    path.write_text(json.dumps(content))
    assert zo_dno.load(tmp_path / "run").baseline == result.baseline


def test_a_run_without_a_result_is_named(tmp_path):
    with pytest.raises(InputError, match="has no config.yaml"):
        zo_dno.load(tmp_path)
