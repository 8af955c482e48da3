"""Tables of comparisons: rows equal the ledgers, and runs that differ are refused."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

import zo_dno
from tests.comparison.conftest import run_here
from tests.comparison.plans import TOY
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.comparison.compare import run_plan
from zo_dno.comparison.plan import read_plan
from zo_dno.comparison.report import comparison_report
from zo_dno.comparison.table import check_alike, completed, rows_of_run, table_of
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.ledger import Ledger
from zo_dno.ui import display


def test_rows_equal_the_ledgers(found):
    for row in found.table.to_dict("records"):
        rows = completed(Path(row["folder"]))[: row["budget"]]
        best = max((one for one in rows if one.is_feasible(constrained=True)), key=lambda one: one.value)
        assert (row["best"], row["log_prob"], row["first"]) == (best.value, best.log_prob, rows[0].value)
    last = found.table[found.table["budget"] == 48]
    for row in last.to_dict("records"):
        result = json.loads((Path(row["folder"]) / "result.json").read_text())
        assert row["best"] == result["best"]["reward"]
        assert row["held_out saturation"] == result["held_out"]["saturation"]["best"]
        assert row["nfe"] == result["nfe"]


@pytest.mark.parametrize(
    "read",
    [lambda run: rows_of_run(run, [16]), completed, lambda run: check_alike([run])],
    ids=["rows", "all", "check"],
)
def test_a_ledger_that_cannot_be_read_is_closed(found, monkeypatch, read):
    closed = []

    class Damaged(Ledger):
        def queries(self, stage=None):
            raise InputError("ledger is damaged")

        def get(self, key):
            raise InputError("ledger is damaged")

        def close(self):
            closed.append(self)
            super().close()

    monkeypatch.setattr("zo_dno.comparison.table.Ledger", Damaged)
    with pytest.raises(InputError, match="ledger is damaged"):
        read(Path(found.table["folder"].iloc[0]))
    assert len(closed) == 1


def test_fronts_are_compared_by_their_hypervolume(tmp_path):
    options = {"parts": ["brightness", "contrast"], "warm_up": 4}
    result = zo_dno.optimize(
        ToyGenerator(), "front", "random_search", reward_options=options, queries=40, out=tmp_path / "run"
    )
    rows = rows_of_run(tmp_path / "run", [8, 40])
    assert [row["budget"] for row in rows] == [8, 40]
    assert rows[0]["first"] <= rows[0]["best"] < rows[1]["best"] == pytest.approx(result.front.hypervolume)
    assert rows[1]["unit"] == result.front.unit
    (tmp_path / "run" / "result.json").unlink()
    assert rows_of_run(tmp_path / "run", [8, 40]) == []


SETS = {"diverse": 4, "min_distance": 0.2, "measures": ["brightness=0.2..0.8", "saturation"]}


def plan_of(folder, given):
    """Write the file of a comparison that asks for sets, and read it as the command does."""
    path = folder / "comparison.yaml"
    plan = {"strategies": ["niching"], "prompts": ["one"], "rewards": ["contrast", "jpeg_smaller"], "seeds": 2}
    path.write_text(yaml.safe_dump({**plan, "queries": 40, "budgets": [20, 40], **TOY, **given}))
    return read_plan(read_yaml(path))


@pytest.mark.parametrize("given", [{name: SETS[name] for name in ("diverse", "min_distance")}, SETS])
def test_sets_and_cells_are_compared_at_one_offset(tmp_path, monkeypatch, capsys, given):
    monkeypatch.setattr("zo_dno.comparison.compare.run_trials", run_here)
    found = run_plan(plan_of(tmp_path, given), tmp_path / "out")
    assert (found.unfinished, found.failures) == (0, {})
    assert not found.table[["statistic", "best", "members", "mean_distance", "offset"]].isna().any(axis=None)
    for (reward, _), cell in found.table.groupby(["reward", "prompt"]):
        results = {one: json.loads((Path(one) / "result.json").read_text()) for one in cell["folder"].unique()}
        lowest = min(row.value for one in results for row in completed(Path(one))[:16])
        if "measures" in given and reward == "contrast":  # which has a lowest value, 0
            lowest = 0.0
        assert set(cell["offset"]) == {lowest}
        for row in cell[cell["budget"] == 40].to_dict("records"):
            kept = results[row["folder"]]["diverse"]
            rewards = [one["reward"] for one in kept["members"]]
            assert row["statistic"] == "diverse set"
            assert row["best"] == pytest.approx((sum(rewards) + (4 - len(rewards)) * lowest) / 4)
            named = ("members", "mean_reward", "mean_distance", "prior_distance")
            same = (len(rewards), kept["mean_reward"], kept["mean_distance"], kept["usual"])
            assert tuple(row[name] for name in named) == pytest.approx(same)
            if "measures" in given:
                cells = results[row["folder"]]["elites"]
                assert row["coverage"] == cells["coverage"]
                assert row["qd_score"] == pytest.approx(sum(max(0, one["reward"] - lowest) for one in cells["rows"]))
    early = found.table[found.table["budget"] == 20]
    assert (early["best"].to_numpy() <= found.table[found.table["budget"] == 40]["best"].to_numpy() + 1e-9).all()
    page = comparison_report(found)
    assert "Runs for contrast are compared by the mean reward over the places of their diverse sets" in page
    assert "Sets and cells" in page
    assert ("QD score" in page) == ("measures" in given)
    assert found.at_equal_seconds().empty
    display.comparison(found)
    shown = " ".join(capsys.readouterr().out.split())
    assert "an empty place counts as a low reward, the offset" in shown
    assert "times as far apart as prior draws" in shown
    if "measures" not in given:
        zo_dno.optimize(ToyGenerator(), "contrast", "snes", queries=8, out=tmp_path / "alone", threads=1)
        with pytest.raises(InputError, match="must search the same for 'contrast'.*diverse is 4 and None"):
            zo_dno.Comparison.of_runs([found.table["folder"].iloc[0], tmp_path / "alone"])


def test_the_set_of_an_earlier_budget_is_that_of_a_shorter_run(tmp_path):
    options = {"diverse": 4, "min_distance": 0.2, "strategy_options": {"population": 8}, "horizon": 40, "seed": 1}
    for queries in (20, 40):  # of which the last population of the first is cut
        zo_dno.optimize(
            ToyGenerator(), "contrast", "niching", queries=queries, out=tmp_path / str(queries), threads=1, **options
        )
    zo_dno.resume(tmp_path / "20", generator=ToyGenerator(), queries=40)
    whole, parts = (table_of(rows_of_run(tmp_path / name, [4, 16, 40])) for name in ("40", "20"))
    other = ["folder", "seconds", "strategy_seconds"]
    pd.testing.assert_frame_equal(whole.drop(columns=other), parts.drop(columns=other))
    first = zo_dno.optimize(ToyGenerator(), "contrast", "niching", queries=16, **options)
    assert whole["members"].tolist()[1] == len(first.diverse)
    assert whole["mean_reward"].tolist()[1] == pytest.approx(first.diverse.mean_reward)
    assert whole["mean_distance"].tolist()[1] == pytest.approx(first.diverse.mean_distance)
    assert whole["best"].isna().tolist() == [True, False, False]  # its first population ends after 8


def test_cells_alone_are_compared_by_their_score(tmp_path):
    given = {"measures": SETS["measures"], "threads": 1}
    for seed in (1, 2):
        zo_dno.optimize(
            ToyGenerator(), "jpeg_smaller", "snes", queries=24, seed=seed, out=tmp_path / str(seed), **given
        )
    found = zo_dno.Comparison.of_runs([tmp_path / "1", tmp_path / "2"], [8, 24])
    assert set(found.table["statistic"]) == {"QD score"}
    assert (found.table["best"] == found.table["qd_score"]).all()
    assert (
        found.table["best"].is_monotonic_increasing or found.table.groupby("seed")["best"].is_monotonic_increasing.all()
    )
    assert found.table["offset"].nunique() == 1
    assert found.table["coverage"].max() == max(zo_dno.load(tmp_path / name).elites.coverage for name in ("1", "2"))


def test_runs_that_differ_are_not_compared(tmp_path):
    class Darker(ToyGenerator):
        model = "darker"

    def warmth(images, prompts):
        return [float(image.resize((1, 1)).getpixel((0, 0))[0]) for image in images]

    warmth.version = "1"
    options = {"queries": 16, "threads": 1}
    zo_dno.optimize(ToyGenerator(), warmth, out=tmp_path / "a", **options)
    warmth.version = "2"
    zo_dno.optimize(ToyGenerator(), warmth, out=tmp_path / "b", **options)
    zo_dno.optimize(Darker(), "brightness", out=tmp_path / "c", **options)
    with pytest.raises(InputError, match="runs must mean the same by 'warmth'.*version is '1' and '2'"):
        zo_dno.Comparison.of_runs([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InputError, match="runs must be of one model.*differ: model is"):
        zo_dno.Comparison.of_runs([tmp_path / "a", tmp_path / "c"])
