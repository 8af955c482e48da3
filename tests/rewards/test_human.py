import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

import zo_dno
from tests.support.browser import chromium, tab
from tests.support.clocks import PATIENCE
from tests.support.forked import Forked
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import SKIPPED, RatingError
from zo_dno.rewards.human import Human
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.run_folder import CONFIG
from zo_dno.ui.cli import main

SMALL = {"queries": 16, "strategy_options": {"population": 8}}


class Rater(threading.Thread):
    """Rates every task in a run's folder by a function of the task."""

    def __init__(self, folder: Path, rate, name="ada"):
        super().__init__(daemon=True)
        self.folder, self.rate, self.id, self.stop, self.n_ratings = folder, rate, name, threading.Event(), 0

    def run(self):
        while not (self.folder / RATINGS).exists():
            time.sleep(0.01)
        store = RatingStore(self.folder / RATINGS)
        store.greet(self.id, self.id)
        while not self.stop.is_set():
            task = store.next_task(self.id)
            if task is None:
                time.sleep(0.005)
                continue
            try:
                store.rate(self.id, task.id, self.rate(task))
            except RatingError:
                continue
            self.n_ratings += 1
        store.close()


def rated_run(folder, rate, reward, raters=("ada",), **options):
    threads = [Rater(folder, rate, name) for name in raters]
    for thread in threads:
        thread.start()
    try:
        return zo_dno.optimize(ToyGenerator(), reward, "snes", out=folder, **{**SMALL, **options})
    finally:
        for thread in threads:
            thread.stop.set()
            thread.join()


def number_of(name):
    """Return how much an image is liked, which depends on its name alone."""
    return int(name[:6], 16)


def reward(mode, **options):
    return Human(mode=mode, serve=False, patience=0, **{"repeats": 0, "duel": 0, **options})


def test_ratings_are_the_scores(tmp_path):
    result = rated_run(tmp_path / "run", lambda task: number_of(task.shown[0]) % 11, reward("rate"))
    assert all(row.value == number_of(row.image) % 11 for row in result.history)
    assert result.history[0].components == {"ada": result.history[0].value}
    assert result.unit == "of 10"


def test_several_raters_are_averaged_and_their_spread_is_kept(tmp_path):
    votes = []

    def rate(task):
        votes.append(task.id)
        return 4.0 if votes.count(task.id) > 1 else 8.0

    result = rated_run(tmp_path / "run", rate, reward("rate", votes=2), ("ada", "bob"), queries=8)
    assert {(row.value, row.spread) for row in result.history} == {(6.0, 2.0)}
    assert all(set(row.components) == {"ada", "bob"} for row in result.history)


def test_a_skipped_image_is_missing_and_not_bad(tmp_path):
    result = rated_run(
        tmp_path / "run", lambda task: SKIPPED if number_of(task.shown[0]) % 2 else 5.0, reward("rate"), queries=8
    )
    missing = [row for row in result.history if row.value is None]
    assert 0 < len(missing) < 8
    assert {row.kind for row in missing} == {"skipped"}
    assert all(number_of(row.image) % 2 for row in missing)


@pytest.mark.parametrize(("mode", "least"), [("compare", 22), ("best", 19), ("rank", 25), ("like", 20)])
def test_choices_become_strengths(tmp_path, mode, least):
    """With a consistent rater, most of a population's 28 pairs are in the rater's order, and the first image has 0."""

    def rate(task):
        ranked = sorted(task.shown, key=number_of, reverse=True)
        return {"rank": ranked, "like": ranked[: task.id % 5]}.get(mode, ranked[0])

    result = rated_run(tmp_path / "run", rate, reward(mode, rounds=6))
    assert result.history[0].value == 0.0
    assert result.unit == "log-odds"
    for population in (result.history[:8], result.history[8:]):
        ranked = sorted(population, key=lambda row: -row.value)
        liked = [number_of(row.image) for row in ranked]
        concordant = sum(liked[i] > liked[j] for i in range(8) for j in range(i + 1, 8))
        assert concordant >= least
        assert all(row.spread is not None for row in population)
    best = max(result.history, key=lambda row: number_of(row.image))
    assert best.value >= sorted(row.value for row in result.history)[-3]


def test_populations_are_linked_by_anchors(tmp_path):
    """The rater likes the second population less than the first as a whole, and its scores are lower."""
    seen = []

    def rate(task):
        seen.extend(name for name in task.shown if name not in seen)
        return min(task.shown, key=seen.index)  # the image that was seen first

    result = rated_run(tmp_path / "run", rate, reward("compare", rounds=4, anchors=3))
    first, second = ([row.value for row in result.history[start:][:8]] for start in (0, 8))
    assert sum(first) / 8 > sum(second) / 8 + 0.5


def test_repeats_say_how_often_a_rater_agrees_and_do_not_change_the_run(tmp_path):
    def rate(task):
        return max(task.shown, key=number_of)

    plain = rated_run(tmp_path / "plain", rate, reward("best"))
    asked = rated_run(tmp_path / "asked", rate, reward("best", repeats=0.5))
    assert [row.value for row in asked.history] == [row.value for row in plain.history]
    assert asked.best.z.equal(plain.best.z)
    (found,) = asked.raters["repeats"]
    assert (found["rater"], found["same"]) == ("ada", found["of"])
    assert found["of"] >= 1
    assert asked.raters["words"][0].startswith(
        f"The rater gave the same answer in {found['of']} of {found['of']} repeat"
    )
    assert zo_dno.load(tmp_path / "asked").raters == asked.raters
    assert "raters" not in plain.to_dict()


@pytest.mark.parametrize("mode", ["rate", "best"])
def test_the_winner_is_compared_with_first_and_second_best(tmp_path, mode):
    closing = []

    def rate(task):
        if task.mode == "compare":
            closing.append(set(task.shown))
        if task.mode == "rate":
            return number_of(task.shown[0]) % 11
        return max(task.shown, key=number_of)

    result = rated_run(tmp_path / "run", rate, reward(mode, duel=3))
    best, first = result.best.sha256, result.first.sha256
    against_first, against_second = result.raters["duels"]
    assert (against_first["image"], against_first["of"], against_second["of"]) == (first, 3, 3)
    assert against_first["won"] == 3 * (number_of(best) > number_of(first))
    assert closing.count({best, first}) == closing.count({best, against_second["image"]}) == 3
    scores = sorted((row.value for row in result.history), reverse=True)
    if mode == "rate":
        assert next(row.value for row in result.history if row.image == against_second["image"]) == scores[1]
    assert f"to the first one in {against_first['won']} of 3" in result.raters["words"][0]
    assert zo_dno.load(tmp_path / "run").raters == result.raters
    before = len(closing)
    rated = rated_run(tmp_path / "other", rate, reward(mode))
    assert [row.value for row in rated.history] == [row.value for row in result.history]
    assert len(closing) == before


@pytest.mark.slow
def test_a_killed_run_is_resumed_and_no_task_is_shown_twice(tmp_path):
    """The fast twin, which stops a run instead of killing it, is in tests/ui/test_rating_cell.py."""

    def rate(task):
        return max(task.shown, key=number_of)

    whole = rated_run(tmp_path / "whole", rate, reward("compare"))
    script = (
        "import sys, zo_dno; from tests.rewards.test_human import *\n"
        "zo_dno.optimize(ToyGenerator(), reward('compare'), 'snes', out=sys.argv[1], **SMALL)"
    )
    folder = tmp_path / "killed"
    with subprocess.Popen([sys.executable, "-c", script, str(folder)]) as process:
        while not (folder / RATINGS).exists():
            time.sleep(0.01)
        store = RatingStore(folder / RATINGS)
        store.greet("ada")
        for _ in range(11):  # 8 of the first population, 3 of the 10 of the second
            while (task := store.next_task("ada")) is None:
                time.sleep(0.01)
            store.rate("ada", task.id, rate(task))
        process.kill()
    before = len(store.ratings())
    rater = Rater(folder, rate)
    rater.start()
    result = zo_dno.resume(folder, generator=ToyGenerator(), reward=reward("compare"))
    rater.stop.set()
    rater.join()
    assert (before, rater.n_ratings) == (11, 7)
    assert [row.value for row in result.history] == [row.value for row in whole.history]
    assert result.best.z.equal(whole.best.z)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"votes": 0}, "votes must be at least 1; got 0"),
        ({"mode": "compare", "together": 1}, "together must be at least 2; got 1"),
        ({"repeats": 0.6}, "repeats must be from 0 to 0.5; got 0.6"),
        ({"patience": -1}, "patience must be at least 0"),
        ({"mode": "rate", "rounds": 2}, "left out with mode rate"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Human(**options)


def link_of(process):
    for line in process.lines():
        if found := re.search(r"http://\S+token=\S+", line.replace("\n", "")):
            return found[0]
    raise AssertionError("no link was printed")


@pytest.mark.slow
@pytest.mark.browser
def test_a_real_run_whose_page_and_search_are_killed_between_clicks(tmp_path):
    """Command line to browser: the page's server dies between two clicks, then the search; nothing is lost."""
    folder = tmp_path / "run"
    options = ("serve=false", "patience=0.2", "mode=compare", "rounds=2", "repeats=0", "duel=0")
    arguments = ["--model", "tests.support.toys:prompted", "--prompt", "sea at dusk", "--reward", "human"]
    arguments += ["--queries", 12, "--threads", 1, "--out", folder]
    arguments += [word for option in options for word in ("--reward-option", option)]
    search = Forked(("run", *arguments, "--strategy-option", "population=6"))
    while not (folder / RATINGS).exists():
        time.sleep(0.1)
        assert search.poll() is None, search.output
    server = Forked(("rate", folder, "--port", 0))
    link = link_of(server)
    port = re.search(r":(\d+)/", link)[1]
    store = RatingStore(folder / RATINGS)
    with chromium() as browser, tab(browser, link) as rater:

        def click():
            before = len(store.ratings())
            expect(rater.get_by_text("Which is better?")).to_be_visible(timeout=60_000)
            task = rater.locator("[name=task]").get_attribute("value")
            rater.get_by_label("choose image 1").click()
            expect(rater.get_by_role("alert")).to_have_count(0)
            until = time.monotonic() + PATIENCE
            while len(store.ratings()) == before:
                assert time.monotonic() < until, "the click was lost"
                time.sleep(0.02)
            shown = rater.locator(f'[name=task][value="{task}"]')
            expect(shown).to_have_count(0, timeout=60_000)  # a click on it again would be none

        click()
        click()
        server.kill()
        server.wait()
        assert len(store.ratings()) == 2
        server = Forked(("rate", folder, "--port", port))
        assert link_of(server) == link  # the old link stays valid
        click()  # in the tab that was open all the time
        search.kill()
        search.wait()
        for _ in range(3):
            click()
        expect(rater.get_by_text("The search is not running now")).to_be_visible()
        search = Forked(("resume", folder))
        for _ in range(8):
            click()
        assert search.wait() == 0, search.output
        expect(rater.get_by_role("heading", name="The search has finished")).to_be_visible()
        rater.reload()
        expect(rater.get_by_text(f"zo-dno resume {folder} --queries 24")).to_be_visible()
    server.send_signal(signal.SIGINT)
    assert server.wait() is not None
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(link, trust_env=False)
    rows = Ledger(folder / "ledger.db", read_only=True).queries()
    assert [row.status for row in rows] == ["scored"] * 12
    assert len(store.ratings()) == 14


def test_rate_says_what_is_wrong(tmp_path, monkeypatch, capsys):
    (run := tmp_path / "run").mkdir()
    (run / CONFIG).touch()
    RatingStore(run / RATINGS).close()
    for arguments, message in (
        ([tmp_path / "nothing"], "Error: run must be the folder of a run"),
        ([tmp_path, "--host", "256.1.1.1"], "Error: run must be the folder of a run"),
        ([run, "--host", "192.0.2.1"], "Error: host and port must be free to listen on; 192.0.2.1:8012"),
    ):
        monkeypatch.setattr(sys, "argv", ["zo-dno", "rate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        output = capsys.readouterr().err
        assert ended.value.code == 2
        assert output.startswith(message)
        assert len(output.strip().splitlines()) == 1
