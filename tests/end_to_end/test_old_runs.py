"""Runs that an older version wrote open, show, report and resume as they did there."""

import json
import shutil
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import zo_dno
from zo_dno.errors import InputError
from zo_dno.results.environment import environment
from zo_dno.results.overview import overview
from zo_dno.run.config import with_current_names
from zo_dno.run.from_config import render
from zo_dno.storage.ledger import Ledger
from zo_dno.ui.cli.main import app

OLD = Path(__file__).parents[1] / "storage" / "old_runs"
EXPECTED = json.loads((OLD / "expected.json").read_text())
ROW = ("stage", "id", "oracle", "status", "value", "told", "told_seq", "log_prob", "plausible", "reward_violation")
ROUNDING = 1e-5  # processors differ in the last bits of log P and of the strategy's arithmetic


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Return a function that copies an old run into the current folder, where its model is found."""
    shutil.copy(OLD / "painted.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name: Path(shutil.copytree(OLD / name, name))


ADDED = {
    "unused_images",
    "unused_share",
    "strategy_images",
    "draws",
    "climb",
    "adapted",
    "surrogate",
    "log_to",
    "near",
    "distance",
    "lowest_log_prob",
    "front",
    "diverse",
    "elites",
    "apart",
    "min_distance",
    "measures",
}  # to result.json and config since
LOST = {"killed, resumed": 1}
"""Calls in flight at the kill, which count as made since: they may have been charged."""


def facts(folder):
    """What `expected.json` says of a run: its overview, its rows and its result."""
    found = overview(folder)
    others = ("folder", "seconds", "rows", "populations")  # the rows are read below
    about = {one.name: getattr(found, one.name) for one in fields(found) if one.name not in others}
    about |= {name: [about[name].id, about[name].value] for name in ("first", "best")}
    ledger = Ledger(folder / "ledger.db", read_only=True)
    rows = [[*(getattr(row, name) for name in ROW), row.image] for row in ledger.all_queries()]
    ledger.close()
    file = folder / "result.json"
    result = json.loads(file.read_text()) if file.exists() else {}
    kept = {name: value for name, value in result.items() if name not in ("seconds", "versions")}
    return json.loads(json.dumps({"overview": about, "rows": rows, "result": kept}))


def content(folder):
    """Every file but SQLite's index of the write-ahead log, which any reader of `killed` makes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    return {path: path.read_bytes() for path in files}


def assert_as_expected(folder, name):
    found, expected = facts(folder), json.loads(json.dumps(EXPECTED[name]))
    for one in (found, expected):
        one["overview"]["config"] = with_current_names(one["overview"]["config"])
    expected["overview"]["attempts"] += LOST.get(name, 0)
    assert_close(found, expected, name)


def assert_close(found, expected, where):
    if isinstance(expected, dict):
        assert found.keys() - ADDED == expected.keys(), where
        for key, value in expected.items():
            assert_close(found[key], value, f"{where}, {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, value in enumerate(expected):
            assert_close(found[i], value, f"{where}, {i}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("name", ["finished", "combined", "killed"])
def test_an_old_run_opens_unchanged(copy, name):
    folder = copy(name)
    before = content(folder)
    assert_as_expected(folder, name)
    assert content(folder) == before


@pytest.mark.parametrize("name", ["finished", "combined"])
def test_the_result_of_an_old_run_loads(copy, name):
    expected = EXPECTED[name]["result"]
    loaded = json.loads(json.dumps(zo_dno.load(copy(name)).to_dict()))
    assert_close({key: loaded[key] for key in expected}, expected, name)


@pytest.mark.parametrize("name", ["finished", "combined", "killed"])
def test_the_command_line_shows_an_old_run(copy, name):
    copy(name)
    shown = CliRunner().invoke(app, ["show", name])
    assert shown.exit_code == 0, shown.output
    expected = EXPECTED[name]["overview"]
    search = expected["counts"]["search"]
    assert expected["state"] in shown.output
    assert f"{search['scored']} of {expected['planned']}" in shown.output
    assert f"best {expected['best'][1]:.6g}, query {expected['best'][0] + 1}" in shown.output
    assert f"{expected['attempts']} calls, cost {expected['cost']:.4g}" in shown.output


@pytest.mark.parametrize("name", ["finished", "combined"])
@pytest.mark.fast_cases(1)
def test_an_old_run_is_reported(copy, name):
    copy(name)
    written = CliRunner().invoke(app, ["report", name])
    assert written.exit_code == 0, written.output
    best = EXPECTED[name]["result"]["best"]["reward"]
    assert f"{best:.4g}" in Path(name, "report.html").read_text()


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("killed", {}, "killed, resumed"),
        ("finished", {}, "finished"),
        ("finished", {"queries": 32}, "finished, resumed with 32"),
        ("combined", {}, "combined"),
    ],
)
def test_an_old_run_is_resumed(copy, name, changes, expected):
    folder = copy(name)
    ledger = Ledger(folder / "ledger.db", read_only=True)
    recorded, here = ledger.get("environment")["instructions"], environment()["instructions"]
    ledger.close()
    try:
        zo_dno.resume(folder, trust=True, **changes)
    except InputError as refusal:  # with other instructions torch draws and rounds differently in the last bit
        assert here != recorded
        assert f"instructions: {recorded}, now {here}" in str(refusal)  # noqa: PT017, either outcome is right
    else:
        assert_as_expected(folder, expected)


@pytest.mark.slow  # that it is read so is tested with the options
def test_a_run_of_before_there_were_two_sizes_keeps_the_size_it_had(tmp_path):
    """It recorded the built-in model as "scenes", which means the larger images now."""
    run, first = (
        partial(zo_dno.optimize, seed=3, threads=1, horizon=12),
        partial(zo_dno.DiffusersGenerator.builtin, "sea at dusk", model="scenes-64", steps=1),
    )
    whole = run(first(), "jpeg_smaller", "random_search", queries=12)
    folder = run(first(), "jpeg_smaller", "random_search", queries=6, out=tmp_path / "old").folder
    ledger = Ledger(folder / "ledger.db")
    ledger.set({"config": ledger.get("config") | {"model": "scenes"}})
    ledger.close()
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("scenes-64", "scenes"))
    resumed = zo_dno.resume(folder, queries=12)
    assert resumed.best.image.shape == (64, 64, 3)
    assert resumed.best.reward == whole.best.reward
    assert render(folder)[0].shape == (64, 64, 3)
