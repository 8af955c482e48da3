"""Tables of comparisons: rows equal the ledgers, and runs that differ are refused."""

import json
from pathlib import Path

import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.comparison.table import check_alike, completed, rows_of_run
from zo_dno.storage.ledger import Ledger


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
