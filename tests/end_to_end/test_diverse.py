"""Diverse sets as whole runs."""

import json
import math
from itertools import combinations

import numpy as np
import pytest

import zo_dno
from tests.support.combinations import bright, priced, rough, stopping
from tests.support.resuming import content
from tests.support.toys import SmoothToy, ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.overview import overview
from zo_dno.results.report import run_report
from zo_dno.types import Score

APART = {"diverse": 4, "min_distance": 0.2}


def run(folder=None, reward=rough, strategy="random_search", toy=None, **options):
    options = {"queries": 48, "seed": 3, "strategy_options": {"population": 8}, **APART, **options}
    return zo_dno.optimize(toy or ToyGenerator(), reward, strategy, out=folder, **options)


def everything(folder):
    """What must not depend on when a run was stopped, with the files of its set."""
    return content(folder), {path.name: path.read_bytes() for path in sorted((folder / "diverse").iterdir())}


def redness(images):
    return images.mean((2, 3))


def test_a_set_is_feasible_and_apart_and_everything_shows_it(tmp_path):
    result = run(tmp_path / "run", require=["saturation >= 0.3"], reward=rough)
    found = result.diverse
    able = [row.id for row in result.history if row.is_feasible(constrained=True)]
    assert 0 < len(able) < 48
    assert len(found) == 4
    assert {one.id for one in found} <= set(able)
    for one, other in combinations(range(4), 2):
        images = (found.members[place].image.astype(float) / 255 for place in (one, other))
        difference = float(np.abs(np.subtract(*images)).mean())
        assert found.distances[one, other] == pytest.approx(difference, abs=1e-6)
        assert difference >= 0.2
    rewards = [one.reward for one in found]
    assert (rewards[0], rewards) == (result.best.reward, sorted(rewards, reverse=True))
    assert found.mean_reward == pytest.approx(np.mean(rewards))
    loaded = zo_dno.load(tmp_path / "run").diverse
    assert (loaded.to_dict(), repr(loaded)) == (found.to_dict(), repr(found))
    assert all((one.noise == other.noise).all() for one, other in zip(loaded, found, strict=True))
    assert all((one.image == other.image).all() for one, other in zip(loaded, found, strict=True))
    assert overview(tmp_path / "run").diverse == found.words
    assert "4 images that differ, mean reward" in repr(result)
    assert (tmp_path / "run" / "diverse.png").stat().st_size > 0
    page = run_report(tmp_path / "run")
    assert f"mean distance {found.mean_distance:.4g} in pixels" in page
    for html in (page, result._repr_html_()):
        assert html.count(" away<br>query ") == 4


def test_the_least_distance_is_by_default_that_of_prior_draws_the_same_for_every_strategy():
    some, others = run(min_distance=None, queries=8), run(min_distance=None, queries=8, strategy="snes", diverse=2)
    assert some.diverse.least == 0.85 * some.diverse.usual == 0.85 * others.diverse.usual > 0
    assert others.diverse.distances[0, 1] >= others.diverse.least


@pytest.mark.parametrize("strategy", ["random_search", "niching"])
def test_a_stopped_run_ends_as_one_that_never_was(tmp_path, strategy):
    run(tmp_path / "whole", strategy=strategy, horizon=30, apart=redness)
    run(tmp_path / "parts", stopping(rough, 20), strategy, queries=30, apart=redness)
    zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rough)
    zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rough, apart=redness, queries=48)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


@pytest.mark.slow  # tests/strategies/test_diverse.py restores its state as well
@pytest.mark.parametrize("toy", [SmoothToy, ToyGenerator])
def test_robot_resumes_bit_for_bit(tmp_path, toy):
    brief = {"strategy_options": {"population": 4, "first": 4, "renders": 2}, "strategy": "robot", "queries": 16}
    run(tmp_path / "whole", toy=toy(), **brief)
    run(tmp_path / "parts", stopping(rough, 11), toy=toy(), **brief)
    zo_dno.resume(tmp_path / "parts", generator=toy(), reward=rough)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


def test_money_missing_scores_and_sets_that_are_not_full(tmp_path):
    def holes(images, prompts):
        (value,) = rough(images, prompts)
        return [Score(math.nan, "no idea") if value > 60 else value]

    result = run(None, holes)
    assert 0 < result.failed_queries < 48
    assert max(one.reward for one in result.diverse) <= 60
    paid = priced(rough, 0.01)
    result = run(None, paid, max_cost=0.165, strategy="niching")
    assert (result.stopped_by, len(paid.log), result.queries) == ("cost", 16, 16)
    result = run(tmp_path / "far", min_distance=0.9, queries=8)
    assert (len(result.diverse), result.diverse.mean_distance) == (1, None)
    assert "Only 1 of 4 images are at least 0.9 apart: take more queries" in run_report(tmp_path / "far")
    nothing = run(tmp_path / "none", queries=8, require=["saturation >= 0.99"])
    assert (len(nothing.diverse), nothing.diverse.mean_reward, nothing.status) == (0, None, "infeasible")
    assert len(zo_dno.load(tmp_path / "none").diverse) == 0
    kept = json.loads((tmp_path / "far" / "result.json").read_text())
    kept["diverse"]["distances"] = []
    (tmp_path / "far" / "result.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match="members and distances differ in length"):
        zo_dno.load(tmp_path / "far")


def no_number(some, others):
    return (some - others).sum((1, 2, 3)) * math.nan


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diverse": 1}, "diverse must be at least 2; got 1"),
        ({"diverse": 49}, "diverse must be at most the number of queries, 48; got 49"),
        ({"diverse": None}, "min_distance must come with diverse"),
        ({"diverse": None, "min_distance": None, "apart": "modes"}, "apart must come with diverse"),
        ({"diverse": None, "min_distance": None, "strategy": "robot"}, "diverse must be given with robot"),
        ({"min_distance": 0}, "min_distance must be above 0"),
        ({"apart": "pixel"}, "distance apart 'pixel' is unknown"),
        ({"apart": no_number}, "no_number' must be finite; got nan"),
        ({"apart": lambda some, others: (some - others).mean((1, 2, 3))}, "same distance in both orders|at least 0"),
        ({"reward": [bright, rough]}, "diverse must be left out with a front"),
        ({"strategy": "niching", "space": "low_band", "space_options": {"dims": 12}}, "space must be 'all' with Nich"),
        ({"strategy": "niching", "lag": 1}, "lag must be 0 with Niching"),
    ],
)
def test_what_a_set_does_not_take_is_one_line_and_nothing_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message) as found:
        run(tmp_path / "run", **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_workers_score_the_images_of_a_set(tmp_path):
    alone = run(tmp_path / "alone", "contrast", queries=16, strategy="niching")
    shared = run(tmp_path / "shared", "contrast", queries=16, strategy="niching", workers=1)
    assert shared.diverse.to_dict() == alone.diverse.to_dict()
