"""Comparisons: what is run, that it goes on after a kill, and that table and report say the same."""

import json
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
from tests.results.test_report import Cells
from tests.support.browser import chromium
from tests.support.toys import ToyGenerator
from zo_dno import InputError
from zo_dno.comparison.plan import Plan, read_plan
from zo_dno.comparison.report import comparison_report
from zo_dno.comparison.table import COLUMNS, completed
from zo_dno.comparison.trials import Trials

TOY = {"model": "tests.support.toys:ToyGenerator", "threads": 1}
PLAN = {
    "strategies": ["snes", {"strategy": "hill_climb", "strategy_options": {"population": 8}, "name": "climb"}],
    "prompts": ["one", "two"],
    "rewards": ["brightness", "contrast"],
    "seeds": 3,
    "queries": 48,
    "held_out": ["saturation"],
    **TOY,
}


def redness(images, prompts):
    return [sum(pixel[0] for pixel in image.getdata()) for image in images]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Run a comparison with Ray Tune."""
    settings = {name: value for name, value in PLAN.items() if name not in ("strategies", "prompts")}
    folder = tmp_path_factory.mktemp("comparison") / "out"
    over = []
    made = zo_dno.compare(
        folder,
        PLAN["strategies"],
        PLAN["prompts"],
        at_once=2,
        on_trial=lambda done, of: over.append((done, of)),
        **settings,
    )
    assert over == [(i, 36) for i in range(1, 37)]
    assert made.unfinished == 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # Ray Tune's own stays in place
    return made


def test_every_combination_is_a_row_for_each_budget(found):
    table = found.table
    assert len(table) == 3 * 2 * 2 * 3 * 3  # entries, rewards, prompts, seeds, budgets
    assert set(table["entry"]) == {"random_search", "snes", "climb"}
    assert list(found.budgets) == [16, 32, 48]
    assert [name for name in table.columns if not name.startswith("held_out")] == list(COLUMNS)
    assert table["over"].all()
    assert (table["queries"] == table["budget"]).all()


def test_rows_are_what_the_ledgers_say(found):
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


def test_runs_are_those_that_optimize_makes(found):
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


def test_the_report_says_what_the_table_says(found):
    page = Cells()
    text = comparison_report(found)
    page.feed(text)
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(text) < 5e6
    rows = {row[0]: row[1:] for row in page.rows if len(row) == 7}
    sixes = [row for row in page.rows if len(row) == 6]
    costs = {row[0]: row[1:] for row in sixes if ": " not in row[1]}
    for one in found.summary().to_dict("records"):
        cells = rows[one["entry"]]
        assert cells[0] == str(one["runs"])
        assert cells[1:3] == [
            f"{one[name]:.3f} [{one[low]:.3f}, {one[high]:.3f}]"
            for name, low, high in (
                ("iqm", "iqm_low", "iqm_high"),
                ("better_than_reference", "better_low", "better_high"),
            )
        ]
        assert cells[3:] == [f"{one['rank']:.4g}", f"{one['feasible']:.0%}", f"{one['log_prob']:.4g}"]
        paid = ("seconds", "strategy_seconds", "nfe", "failed", "cost")
        assert costs[one["entry"]] == [f"{one[name]:.4g}" for name in paid]
    for one, row in zip(
        found.at_equal_seconds().to_dict("records"), [row for row in sixes if ": " in row[1]], strict=True
    ):
        assert row[:4] == [
            one["entry"],
            f"{one['reward']}: {one['prompt']}",
            f"{one['seconds']:.4g}",
            str(one["draws"]),
        ]
        assert row[4] == f"{one['best']:.4g}"
        assert row[5] in (f"{one['best_of_n']:.4g}", "more draws than there are")
    at = found.table[found.table["budget"] == 48]
    means = {row[0]: row[1:] for row in page.rows if len(row) == 5}
    for entry, own in at.groupby("entry"):
        expected = own.groupby(["reward", "prompt"])["best"].mean()
        assert means[entry] == [f"{value:.4g}" for value in expected]
    for claim in found.claims():
        assert str(claim).replace("'", "&#x27;") in text


@pytest.mark.browser
def test_the_report_opens_without_a_complaint_and_fits_a_phone(found):
    path = found.report()
    with chromium() as browser:
        for width in (1200, 390):
            page, said = browser.new_page(viewport={"width": width, "height": 800}), []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.goto(f"file://{path}")
            assert said == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
            assert page.evaluate(broken) == 0


def test_it_shows_itself_in_a_notebook(found):
    assert "climb" in found._repr_html_()


def test_best_of_n_with_as_many_seconds_is_there(found):
    equal = found.at_equal_seconds()
    own = equal[equal["entry"] == "random_search"]
    assert len(equal) == 3 * 2 * 2
    assert list(own["draws"]) == [48] * 4


def test_the_same_comparison_is_not_run_again_and_another_one_is_refused(found):
    settings = {name: value for name, value in PLAN.items() if name not in ("strategies", "prompts")}
    again = zo_dno.compare(found.folder, PLAN["strategies"], PLAN["prompts"], **settings)
    pd.testing.assert_frame_equal(again.table, found.table)
    with pytest.raises(InputError, match=r"out must be .* the same comparison; .* differs in seeds"):
        zo_dno.compare(found.folder, PLAN["strategies"], PLAN["prompts"], **{**settings, "seeds": 4})


@pytest.mark.slow
def test_a_comparison_that_is_killed_goes_on_to_the_same_table(found, tmp_path):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    command = [sys.executable, "-m", "zo_dno", "compare", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.time() + 240
    while len(list((tmp_path / "out").glob("runs/*/result.json"))) < 8 and time.time() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list((tmp_path / "out").glob("runs/*/result.json")))
    assert 8 <= done < 36
    cut = zo_dno.Comparison.load(tmp_path / "out")
    assert cut.unfinished == 36 - done
    assert f"{36 - done} runs are not finished. Resume: zo-dno compare" in cut.what_is_left
    subprocess.run(command, check=True, timeout=280, stdout=subprocess.DEVNULL)
    table = zo_dno.Comparison.load(tmp_path / "out").table
    timed = ["seconds", "strategy_seconds", "folder"]
    pd.testing.assert_frame_equal(table.drop(columns=timed), found.table.drop(columns=timed))


@pytest.mark.slow
def test_early_stopping_stops_runs_that_are_behind_and_says_so(tmp_path):
    found = zo_dno.compare(
        tmp_path / "out",
        ["snes", "hill_climb", "zero_order"],
        ["one"],
        rewards=["brightness"],
        seeds=4,
        queries=256,
        early_stopping=True,
        at_once=2,
        **TOY,
    )
    reached = found.table.groupby("folder")["queries"].max()
    assert (reached < 256).any()
    best_of_n = found.table[found.table["entry"] == "random_search"].groupby("folder")["queries"].max()
    assert (best_of_n == 256).all()
    assert "stopped early" in comparison_report(found)
    assert found.unfinished == 0


def test_gpus_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"generator_gpus must be at most \d+, as many as there are here; got 1000"):
        zo_dno.compare(tmp_path / "out", ["snes"], ["one"], seeds=1, queries=16, generator_gpus=1000, **TOY)


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path):
    def broken(images, prompts):
        raise RuntimeError("no power")

    plan = Plan(["snes"], ["one"], [broken], 1, queries=16, settings={**TOY, "policy": {"attempts": 1}})
    trials = Trials(plan, tmp_path)
    assert trials.advance(0, 16) < -1e6
    assert "no power" in (plan.trials[0].folder(tmp_path) / "failed.txt").read_text()


def test_functions_and_classes_are_taken_in_place_of_names(tmp_path):
    plan = Plan(["snes"], ["one"], [redness], 1, queries=16, settings=TOY)
    assert [trial.reward for trial in plan.trials] == ["redness", "redness"]
    Trials(plan, tmp_path).advance(1, 16)
    assert len(completed(plan.trials[1].folder(tmp_path))) == 16


def test_runs_of_all_seeds_share_the_model_and_its_own_seed(tmp_path):
    """An actor that makes other runs first draws the same, and a run goes on in any of them."""
    settings = {"model": "scenes", "steps": 1, "threads": 1, "generator_options": {"eta": 1.0}}
    plan = Plan(["snes"], ["sea at dusk"], seeds=2, queries=8, settings=settings)
    Trials(plan, tmp_path / "one").advance(3, 8)
    later = Trials(plan, tmp_path / "other")
    later.advance(1, 8)
    later.advance(3, 4)
    Trials(plan, tmp_path / "other").advance(3, 8)
    rows = [completed(plan.trials[3].folder(tmp_path / name)) for name in ("one", "other")]
    assert [row.image for row in rows[0]] == [row.image for row in rows[1]]


def test_spaces_cross_with_strategies_that_name_none():
    low = {"strategy": "cmaes", "space": "low_band", "space_options": {"dims": 12}, "name": "cma, low"}
    plan = Plan(["snes", low], ["one"], spaces=["all", "subspace"], seeds=1, queries=16, settings=TOY)
    assert [trial.entry for trial in plan.trials] == ["random_search", "snes", "snes, subspace", "cma, low"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategies": ["sness"]}, "strategy 'sness' is unknown"),
        ({"strategies": [{"strategy": "snes", "option": 1}]}, "strategy key 'option' is unknown"),
        ({"strategies": ["snes", {"strategy": "pgpe", "name": "snes"}]}, "different names; 'snes' is there twice"),
        ({"rewards": []}, "rewards must be a list of different values; got []"),
        ({"prompts": "one"}, "prompts must be a list of different values; got 'one'"),
        ({"seeds": 0}, "seeds must be at least 1; got 0"),
        ({"budgets": [64]}, r"budgets must be between 1 and the 48 queries; got \[64\]"),
        ({"stepz": 3}, "comparison key 'stepz' is unknown"),
        ({"strategy": "snes"}, "strategy must be given in the plural"),
        ({"prompt": "one"}, "prompt must be given in the plural"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(InputError, match=message.replace("[]", r"\[\]")):
        read_plan({**PLAN, **changes})


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


def test_too_few_seeds_are_said(tmp_path):
    for name in ("random_search", "snes"):
        zo_dno.optimize(ToyGenerator(), "brightness", name, queries=16, threads=1, out=tmp_path / name)
    found = zo_dno.Comparison.of_runs([tmp_path / "random_search", tmp_path / "snes"])
    text = comparison_report(found)
    assert "Some entries have 1 seeds for a reward and prompt; intervals take 3." in text
    assert "1 pairs are too few to say whether that is chance" in text
