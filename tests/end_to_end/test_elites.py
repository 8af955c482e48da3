"""The best candidate of every cell of measures, as whole runs."""

import json
import math

import numpy as np
import pytest

import zo_dno
from tests.support.combinations import constant, priced, rough, stopping
from tests.support.resuming import content
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.elites_sheet import elites_sheet
from zo_dno.results.overview import overview
from zo_dno.results.report import run_report
from zo_dno.run.measures import measures_in
from zo_dno.types import Score

MEASURES = ["brightness=0.2..0.8", "saturation"]


def run(folder=None, reward=rough, strategy="random_search", **options):
    options = {"queries": 40, "seed": 3, "strategy_options": {"population": 8}, "measures": MEASURES, **options}
    return zo_dno.optimize(ToyGenerator(), reward, strategy, out=folder, **options)


def everything(folder):
    return content(folder), {path.name: path.read_bytes() for path in sorted((folder / "elites").iterdir())}


def test_every_cell_has_the_best_of_its_candidates_and_everything_shows_it(tmp_path):
    result = run(tmp_path / "run", require=["saturation >= 0.3"])
    elites = result.elites
    assert elites.grid.ranges[0] == (0.2, 0.8)
    low, high = elites.grid.ranges[1]
    assert 0 <= low < high <= 1
    able = [row for row in result.history if row.is_feasible(constrained=True)]
    assert 0 < len(able) < 40
    best = {}
    for row in able:
        values = [row.components[name] for name in ("brightness", "saturation")]
        shares = [(value - end[0]) / (end[1] - end[0]) for value, end in zip(values, elites.grid.ranges, strict=True)]
        cell = tuple(min(9, max(0, math.floor(share * 10))) for share in shares)
        best[cell] = max(best.get(cell, row), row, key=lambda one: one.value)
    assert {one.cell: one.id for one in elites} == {cell: row.id for cell, row in best.items()}
    assert elites.coverage == len(best) / 100
    lowest = min(row.value for row in result.history[:16])
    assert elites.qd_score == pytest.approx(sum(max(0, row.value - lowest) for row in best.values()))
    assert elites.source == "the lowest of the first 16 scores"
    loaded = zo_dno.load(tmp_path / "run").elites
    assert (loaded.to_dict(), repr(loaded)) == (elites.to_dict(), repr(elites))
    assert overview(tmp_path / "run").elites == elites.words
    assert elites_sheet(loaded).size == elites_sheet(elites).size
    assert f"{len(best)} of 100 cells of brightness 0.2 to 0.8" in run_report(tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    kept["elites"]["ranges"] = [[0, 1]]
    (tmp_path / "run" / "result.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match="measures and ranges differ in length"):
        zo_dno.load(tmp_path / "run")


def test_a_stopped_run_ends_as_one_that_never_was_and_one_measure_is_enough(tmp_path):
    given = {"measures": ["brightness"], "diverse": 3, "min_distance": 0.1}
    run(tmp_path / "whole", horizon=24, **given)
    run(tmp_path / "parts", stopping(rough, 20), queries=24, **given)
    zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rough)
    result = zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rough, queries=40)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")
    assert elites_sheet(result.elites).height < 200
    assert len(result.diverse) == 3


@pytest.mark.slow
def test_cma_me_resumes_bit_for_bit(tmp_path):
    pytest.importorskip("ribs")
    run(tmp_path / "whole", strategy="cma_me")
    run(tmp_path / "parts", stopping(rough, 20), "cma_me")
    zo_dno.resume(tmp_path / "parts", generator=ToyGenerator(), reward=rough)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


def test_missing_scores_are_no_elites_and_a_reward_may_be_a_measure():
    def holes(images, prompts):
        (value,) = rough(images, prompts)
        return [Score(math.nan, "no idea") if value > 60 else value]

    result = run(None, holes)
    assert 0 < result.failed_queries < 40
    assert max(one.reward for one in result.elites) <= 60
    own = run(None, "brightness", measures=["brightness", "contrast"])
    assert all(one.measures["brightness"] == one.reward for one in own.elites)
    assert (own.elites.offset, own.elites.source) == (0.0, "the lowest brightness")
    summed = run(None, "weighted_sum", reward_options={"parts": {"contrast": 1, "entropy": 1}, "warm_up": 4})
    assert len(summed.elites) > 3


def failing(images, prompts):
    return [math.nan for _ in images]


vars(failing).update(version="1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": ["brightness", "contrast", "hue"]}, "measures must be one or two; got 3"),
        ({"measures": ["brightness", "brightness=0..1"]}, "measures must differ; got brightness twice"),
        ({"measures": ["brightness=1..0"]}, "NAME or NAME=LOW..HIGH, with LOW below HIGH; got 'brightness=1..0'"),
        ({"measures": ["brightnes"]}, "'brightnes' is unknown. Did you mean 'brightness'"),
        ({"measures": ["human"]}, "must be exact functions of an image that cost nothing; got 'human'"),
        ({"measures": ["tests.support.combinations:constant"]}, "must differ among images; constant is 7 for all of 4"),
        ({"measures": [f"{__name__}:failing"]}, "must have a value for every image; failing has none"),
        ({"measures": [], "strategy": "cma_me"}, "measures must be given with cma_me"),
        ({"reward": [rough, constant]}, "measures must be left out with a front"),
    ],
)
def test_measures_that_cannot_be_are_one_line_and_nothing_is_written(tmp_path, options, message):
    if options.get("strategy") == "cma_me":
        pytest.importorskip("ribs")
    with pytest.raises(InputError, match=message) as found:
        run(tmp_path / "run", **options)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "run").exists()


def test_money_is_spent_on_the_reward_alone():
    paid = priced(rough, 0.01)
    result = run(None, paid, max_cost=0.165)
    assert (result.stopped_by, len(paid.log)) == ("cost", 16)
    assert len(result.elites) > 3
    assert np.isfinite(result.elites.qd_score)
    assert [one.range for one in measures_in(MEASURES)] == [(0.2, 0.8), None]


@pytest.mark.slow
@pytest.mark.ray
def test_workers_score_the_images_of_cells():
    alone = run(None, "entropy", queries=16)
    shared = run(None, "entropy", queries=16, workers=1)
    assert shared.elites.to_dict() == alone.elites.to_dict()
