"""Comparisons: every run is there, and an interrupted comparison resumes to the same table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

import zo_dno
from tests.comparison.conftest import compared_here
from tests.comparison.plans import PLAN, SETTINGS, TOY
from tests.support.command_line import exit_code
from tests.support.held import RESULTS
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.comparison.compare import _keep, resume_plan, with_sized_model
from zo_dno.comparison.plan import Plan, read_plan
from zo_dno.comparison.report import comparison_report
from zo_dno.comparison.table import COLUMNS
from zo_dno.storage.folder_lock import FolderLock

TIMED = ["seconds", "strategy_seconds", "folder"]  # columns that differ from run to run


def test_every_combination_is_a_row_for_each_budget(found):
    table = found.table
    assert len(table) == 3 * 2 * 2 * 3 * 3  # entries, rewards, prompts, seeds, budgets
    assert set(table["entry"]) == {"random_search", "snes", "climb"}
    assert list(found.budgets) == [16, 32, 48]
    assert [name for name in table.columns if not name.startswith("held_out")] == list(COLUMNS)
    assert table["over"].all()
    assert (table["queries"] == table["budget"]).all()


SOME = {**SETTINGS, "rewards": ["brightness"], "seeds": 1}


def check_same_runs(found, folder, **options):
    """Make some of the runs of a comparison, and find what it found."""
    over = []
    made = zo_dno.compare(
        folder, PLAN["strategies"], ["one"], on_trial=lambda done, of: over.append((done, of)), **SOME, **options
    )
    assert over == [(i, 3) for i in range(1, 4)]
    assert made.unfinished == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # Ray Tune's own stays in place
    own = found.table[(found.table["prompt"] == "one") & (found.table["reward"] == "brightness")]
    own = own[own["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(made.table.drop(columns=TIMED), own.drop(columns=TIMED))


def test_trials_of_ray_tune_make_the_same_runs(found, tmp_path, fake_tune):
    check_same_runs(found, tmp_path / "out", at_once=2)
    assert fake_tune.settings.max_concurrent_trials == 2


@pytest.mark.ray
@pytest.mark.slow
def test_ray_tune_makes_the_same_runs(found, tmp_path):
    check_same_runs(found, tmp_path / "out", at_once=2)


def test_runs_equal_those_of_optimize(found):
    row = found.table[(found.table["entry"] == "climb") & (found.table["seed"] == 2)].iloc[-1]
    alone = zo_dno.optimize(
        ToyGenerator(), row["reward"], "hill_climb", queries=48, seed=2, strategy_options={"population": 8}, threads=1
    )
    assert alone.best.reward == row["best"]


def test_the_file_holds_the_table_and_a_folder_is_read_again(found):
    kept = pd.read_parquet(found.folder / "comparison.parquet")
    pd.testing.assert_frame_equal(kept, found.table, check_dtype=False)
    pd.testing.assert_frame_equal(zo_dno.Comparison.load(found.folder).table, found.table)


def test_runs_put_side_by_side_give_the_same_numbers(found):
    some = found.table[(found.table["reward"] == "brightness") & (found.table["prompt"] == "one")]
    put = zo_dno.Comparison.of_runs(list(dict.fromkeys(some["folder"])), [16, 32, 48])
    assert sorted(put.table["best"]) == sorted(some["best"])


def test_the_same_comparison_is_not_run_again_and_another_one_is_refused(found):
    again = zo_dno.compare(found.folder, PLAN["strategies"], PLAN["prompts"], **SETTINGS)
    pd.testing.assert_frame_equal(again.table, found.table)
    with pytest.raises(InputError, match=r"out must be .* the same comparison; .* differs in seeds"):
        zo_dno.compare(found.folder, PLAN["strategies"], PLAN["prompts"], **{**SETTINGS, "seeds": 4})


def test_files_of_the_user_stay_in_a_folder_that_is_refused(tmp_path):
    names = {".viminfo.1", ".notes.2024", ".comparison.4711.yaml", "thesis.txt"}
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="out must be a new folder"):
        zo_dno.compare(tmp_path, PLAN["strategies"], PLAN["prompts"], **SETTINGS)
    assert {path.name for path in tmp_path.iterdir()} == names


def test_a_folder_is_resumed_by_its_own_plan(tmp_path, fake_tune):
    """One process at a time works on it, and its code runs only where this user wrote it."""
    out = tmp_path / "out"
    own = {name: SOME[name] for name in ("rewards", "seeds", "queries")}
    settings = {name: value for name, value in SOME.items() if name not in own}
    _keep(Plan(PLAN["strategies"], ["one"], **own, settings=settings), out, early_stopping=False)
    with FolderLock(out, "comparison"), pytest.raises(InputError, match=r"comparison .* is being worked on by process"):
        resume_plan(out)
    assert exit_code(["resume", out, "--queries", 64]) == 2
    made = resume_plan(out)
    assert (made.unfinished, len(made.table["folder"].unique())) == (0, 3)
    (out / ".signature").unlink()
    with pytest.raises(InputError, match="run code: tests.support.toys:ToyGenerator"):
        resume_plan(out)
    assert resume_plan(out, trust=True).unfinished == 0


@pytest.mark.parametrize("once", [{"steps": 4}, {"early_stopping": True}, {"cache": Path("scores.db")}])
def test_what_one_of_two_comparisons_lacks_is_named(tmp_path, once):
    def keep(early_stopping=False, **settings):
        plan = Plan(["snes"], ["sea at dusk"], queries=16, settings=settings)
        _keep(with_sized_model(plan, tmp_path / "out"), tmp_path / "out", early_stopping)

    keep(**once)
    keep(**once)
    with pytest.raises(InputError, match=f"out must be .* the same comparison; .* differs in {next(iter(once))}"):
        keep()


def test_the_plan_is_kept_of_objects_too(tmp_path):
    policy = zo_dno.CallPolicy(attempts=1)
    plan = Plan(["snes"], ["one"], queries=16, settings={**TOY, "cache": Path("scores.db"), "policy": policy})
    _keep(plan, tmp_path / "out", early_stopping=False)
    kept = read_plan(yaml.safe_load((tmp_path / "out" / "comparison.yaml").read_text()))
    assert [trial.config for trial in kept.trials] == [trial.config for trial in plan.trials]


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_comparison_resumes_to_the_same_table(tmp_path):
    """The reward stands still once six runs are finished."""
    settings = {**SETTINGS, "rewards": ["tests.support.held:brightness"]}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump({**PLAN, **settings, "prompts": ["one"]}))
    words = ["compare", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out"), "--at-once", "1"]
    command = [sys.executable, "-m", "zo_dno", *words]
    held = os.environ | {RESULTS: f"6:{tmp_path / 'out'}"}
    said = tmp_path / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(command, env=held, start_new_session=True, stdout=file, stderr=file)
    while len(list((tmp_path / "out").glob("runs/*/result.json"))) < 6 and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list((tmp_path / "out").glob("runs/*/result.json")))
    assert 6 <= done < 9, said.read_text()
    cut = zo_dno.Comparison.load(tmp_path / "out")
    assert cut.unfinished == 9 - done
    assert f"{9 - done} runs are not finished. Resume: zo-dno compare" in cut.what_is_left
    assert exit_code(words) == 0
    table = zo_dno.Comparison.load(tmp_path / "out").table
    whole = compared_here(tmp_path / "whole", PLAN["strategies"], ["one"], **settings).table
    pd.testing.assert_frame_equal(table.drop(columns=TIMED), whole.drop(columns=TIMED))


@pytest.mark.slow
def test_early_stopping_stops_runs_that_are_behind_and_is_reported(tmp_path):
    found = zo_dno.compare(
        tmp_path / "out",
        ["hill_climb", "zero_order"],
        ["one"],
        rewards=["brightness"],
        seeds=4,
        queries=128,
        early_stopping=True,
        at_once=2,
        **TOY,
    )
    reached = found.table.groupby("folder")["queries"].max()
    assert (reached < 128).any()
    best_of_n = found.table[found.table["entry"] == "random_search"].groupby("folder")["queries"].max()
    assert (best_of_n == 128).all()
    assert "stopped early" in comparison_report(found)
    assert found.unfinished == 0
