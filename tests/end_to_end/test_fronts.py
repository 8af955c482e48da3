"""Fronts of several rewards as whole runs."""

import json
import math

import numpy as np
import pyarrow.csv
import pytest

import zo_dno
from tests.support.combinations import bright, priced, red, rough, stopping
from tests.support.resuming import content
from tests.support.toys import SmoothToy, ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.export import export
from zo_dno.results.front_figure import front_figure
from zo_dno.results.front_sheet import front_sheet
from zo_dno.results.overview import overview
from zo_dno.results.report import run_report
from zo_dno.surrogate.pareto import dominates, hypervolume
from zo_dno.types import Score

PARTS = {"population": 8}


def run(folder=None, rewards=(bright, rough), strategy="random_search", toy=None, **options):
    options = {"queries": 48, "seed": 3, "strategy_options": PARTS, **options}
    return zo_dno.optimize(toy or ToyGenerator(), list(rewards), strategy, out=folder, **options)


def resume(folder, rewards=(bright, rough), toy=None, **options):
    return zo_dno.resume(folder, generator=toy or ToyGenerator(), reward=list(rewards), **options)


def everything(folder):
    """What must not depend on when a run was stopped, with the files of its front."""
    return content(folder), {path.name: path.read_bytes() for path in sorted((folder / "front").iterdir())}


def test_a_front_is_what_no_feasible_candidate_beats_and_everything_shows_it(tmp_path):
    result = run(tmp_path / "run", require=["saturation >= 0.3"])
    front = result.front
    names = ("bright", "rough")
    assert front.rewards == names
    scored = {row.id: np.array([row.components[name] for name in names]) for row in result.history}
    able = [row.id for row in result.history if row.is_feasible(constrained=True)]
    assert 0 < len(able) < len(result.history)
    expected = {one for one in able if not any(dominates(scored[other], scored[one]) for other in able)}
    assert {row.id for row in front} == expected
    assert front.matrix[:, 0].tolist() == sorted(front.matrix[:, 0], reverse=True)
    assert result.best.id in expected
    assert front.source == "the worst values of 16 prior draws"
    assert front.hypervolume == hypervolume(front.matrix, np.array(front.reference)) > 0
    loaded = zo_dno.load(tmp_path / "run").front
    assert (loaded.to_dict(), repr(loaded)) == (front.to_dict(), repr(front))
    assert all((one.noise == other.noise).all() for one, other in zip(loaded, front, strict=True))
    assert all((one.image == other.image).all() for one, other in zip(loaded, front, strict=True))
    assert overview(tmp_path / "run").front == len(front)
    export(tmp_path / "run", tmp_path / "rows.csv")
    table = pyarrow.csv.read_csv(tmp_path / "rows.csv").to_pylist()
    exported = {row["id"]: row["reward: rough"] for row in table if row["stage"] == "search"}
    assert exported == pytest.approx({id_: values[1] for id_, values in scored.items()})


@pytest.mark.slow
def test_report_and_notebook_show_a_front(tmp_path):
    result = run(tmp_path / "run")
    front = result.front
    page = run_report(tmp_path / "run")
    assert f"{len(front)} candidates that no other beats in all rewards" in page
    assert "the worst values of 16 prior draws" in page
    assert page.count("data:image/svg+xml") == 6  # front, course and plausibility, each wide and narrow
    for html in (page, result._repr_html_()):
        assert html.count("<br>query ") >= min(12, len(front))
        assert f"rough {front.rows[0].rewards['rough']:.4g}" in html


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["random_search", "nsga2"])
def test_a_stopped_run_ends_as_one_that_never_was(tmp_path, strategy):
    if strategy == "nsga2":
        pytest.importorskip("pymoo")
    run(tmp_path / "whole", strategy=strategy, horizon=30)
    run(tmp_path / "parts", (bright, stopping(rough, 36)), strategy, queries=30)
    resume(tmp_path / "parts")
    resume(tmp_path / "parts", queries=48)
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


@pytest.mark.slow  # tests/strategies/test_fronts.py restores its state as well
@pytest.mark.parametrize("toy", [SmoothToy, ToyGenerator])
def test_parego_resumes_bit_for_bit(tmp_path, toy):
    brief = {"strategy_options": {"population": 4, "first": 4, "renders": 2}, "toy": toy()}
    brief |= {"strategy": "parego", "queries": 12, "reward_options": {"warm_up": 4}}
    run(tmp_path / "whole", **brief)
    run(tmp_path / "parts", (bright, stopping(rough, 14)), **brief)  # the tenth image of the search
    resume(tmp_path / "parts", toy=toy())
    assert everything(tmp_path / "parts") == everything(tmp_path / "whole")


def test_candidates_that_lack_a_reward_are_not_on_the_front():
    def holes(images, prompts):
        (value,) = bright(images, prompts)
        return [Score(math.nan, "no idea") if value > 130 else value]

    vars(holes).update(version="1")
    result = run(None, (rough, holes))
    assert 0 < result.failed_queries < 48
    assert max(row.rewards["holes"] for row in result.front) <= 130
    missing = [row for row in result.history if row.status == "missing"]
    assert all("holes: no idea" in row.error for row in missing)
    assert all("rough" in row.components for row in missing)


def test_money_is_spent_on_each_reward_and_caps_the_run():
    rewards = priced(bright, 0.01), priced(rough, 0.05)
    result = run(None, rewards, reward_options={"warm_up": 4}, max_cost=1.0)
    assert result.stopped_by == "cost"
    assert (len(rewards[0].log), len(rewards[1].log)) == (20, 16)  # the cheap one first, for a whole population
    assert result.cost == pytest.approx(20 * 0.01 + 16 * 0.05)
    assert 0 < len(result.front) <= result.queries == 12


def test_given_scales_and_reference_points_need_no_warm_up(tmp_path):
    own = {"scales": {"bright": [120, 40], "rough": [55, 10]}}
    result = run(tmp_path / "run", reward_options=own, queries=8)
    assert result.front.reference == (40, 35)
    assert result.front.source == "2 standard deviations below the given means"
    result = run(None, reward_options={**own, "reference": [100, 50]}, queries=8)
    assert (result.front.reference, result.front.source) == ((100, 50), "given")
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    kept["front"]["reference"] = [1]
    (tmp_path / "run" / "result.json").write_text(json.dumps(kept))
    with pytest.raises(InputError, match="rewards, units and reference differ in length"):
        zo_dno.load(tmp_path / "run")


def test_three_rewards_and_a_run_without_a_feasible_candidate(tmp_path):
    result = run(None, (bright, rough, red), queries=16)
    assert result.baseline is None, "an estimate for another goal than the front"
    assert len(result.front.rewards) == 3
    assert result.front.hypervolume > 0
    assert len(front_figure(result.front, result.history).axes) == 3
    assert front_sheet(result.front).width > 192
    nothing = run(tmp_path / "none", queries=8, require=["saturation >= 0.99"])
    assert (len(nothing.front), nothing.front.hypervolume, nothing.status) == (0, 0, "infeasible")
    assert len(zo_dno.load(tmp_path / "none").front) == 0
    assert "0 candidates" in run_report(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0.5}, "gamma must be 0 with a front"),
        ({"screen": 4}, "screen must be 0 with a front"),
        (
            {"strategy": "parego", "space": "low_band", "space_options": {"dims": 12}},
            "space must be 'all', and near left out, with ParEGO",
        ),
        ({"rewards": [bright], "strategy": "parego"}, "reward must be several with parego"),
        ({"rewards": [bright], "front": True}, "front must come with several rewards; got bright alone"),
        ({"reward_options": {"reference": [1]}}, "reference must have 2 values"),
    ],
)
def test_what_a_front_does_not_take_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as found:
        run(None, **{"strategy_options": {}, **options})
    assert "\n" not in str(found.value)


@pytest.mark.slow
@pytest.mark.ray
def test_workers_score_the_rewards_of_a_front(tmp_path):
    alone = run(tmp_path / "alone", ["brightness", "contrast"], queries=16)
    shared = run(tmp_path / "shared", ["brightness", "contrast"], queries=16, workers=1)
    assert shared.front.to_dict() == alone.front.to_dict()
