"""A closing duel that Ctrl-C or a kill cuts is resumed: the same choices, none lost, none of the search asked again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.toys import ToyGenerator
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import RatingError
from zo_dno.rewards.human import Human
from zo_dno.storage.ledger import Ledger

ROOT = Path(__file__).parents[2]

CLICKS = 8  # of the duel: 4 with each rival


class Rater(threading.Thread):
    """Chooses the image whose name is the least, and does something else in place of one choice of the duel.

    Args:
        store: Ratings of the run.
        at: Number of choices of the duel after which `then` is called.
        then: Function that is called once; the rater leaves if it returns True.
    """

    def __init__(self, store, at=CLICKS, then=lambda store: True):
        super().__init__(daemon=True)
        self.searched, self.duel, self.ended = [], [], threading.Event()
        self._store, self._at, self._then = store, at, then
        store.greet("ada", "ada")

    def run(self):
        while not self.ended.wait(0.002):
            if (task := self._store.next_task("ada")) is None:
                continue
            if task.mode == "compare" and len(self.duel) == self._at:
                self._at = -1
                if self._then(self._store):
                    return
            with suppress(RatingError):  # the run has ended meanwhile
                self._store.rate("ada", task.id, min(task.shown))
                (self.duel if task.mode == "compare" else self.searched).append(task.shown)


def rated(folder, *, resumes=False, **when):
    """Carry out a run, or resume it. Returns its result and the rater."""
    raters = []

    def show(store):
        raters.append(Rater(store, **when))
        raters[0].start()

        def end():
            raters[0].ended.set()
            raters[0].join()

        return end

    reward = Human(patience=0, repeats=0)
    reward.show = show
    if resumes:
        return zo_dno.resume(folder, generator=ToyGenerator(), reward=reward), raters[0]
    options = {"queries": 16, "threads": 1, "strategy_options": {"population": 8}}
    return zo_dno.optimize(ToyGenerator(), reward, "snes", out=folder, **options), raters[0]


def choices(result):
    return [(duel["image"], duel["won"], duel["of"]) for duel in result.raters["duels"]]


def test_a_duel_that_is_cut_is_the_same_when_resumed(tmp_path):
    """What a kill leaves is the folder as it is after any choice; Ctrl-C ends the run with its choices so far."""

    killed = tmp_path / "killed"

    def copied(store):
        with store.writing():  # as a killed process leaves nothing half written in SQLite
            shutil.copytree(tmp_path / "whole", killed, ignore=lambda *_: [".lock"])

    whole, rater = rated(tmp_path / "whole", at=3, then=copied)
    cut, before = rated(tmp_path / "cut", at=5, then=lambda _: os.kill(os.getpid(), signal.SIGINT) or True)
    assert len(rater.duel) == CLICKS
    assert not (killed / "result.json").exists()
    assert (cut.status, sum(of for *_, of in choices(cut))) == ("finished", 5)
    for folder, made in ((tmp_path / "cut", before.duel), (killed, rater.duel[:3])):
        result, after = rated(folder, resumes=True)
        assert not after.searched
        assert made + after.duel == rater.duel
        assert choices(result) == choices(whole)
        assert result.best.sha256 == whole.best.sha256
        assert len(Ledger(folder / "ledger.db", read_only=True).queries()) == 16
        assert not rated(folder, resumes=True)[1].duel  # it is over, and not held again


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_real_process_is_stopped_in_its_duel(tmp_path, number):
    words = ("--model", "tests.support.toys:prompted", "--prompt", "a cat", "--threads", "1", "--strategy", "snes")
    words += ("--queries", "16", "--strategy-option", "population=8", "--reward", "human")
    words += ("--reward-option", "patience=0", "--reward-option", "repeats=0")
    folder = tmp_path / "run"
    process = begun(tmp_path, "run", *words, "--out", "run")
    while not (folder / RATINGS).exists() and process.poll() is None:
        time.sleep(0.02)
    store = RatingStore(folder / RATINGS)
    before = Rater(store, at=3, then=lambda _: process.send_signal(number) or True)
    before.start()
    output, _ = process.communicate(timeout=PATIENCE)
    before.join()
    assert process.returncode == {signal.SIGINT: 0, signal.SIGKILL: -number}[number], output
    assert "Traceback" not in output
    after = Rater(store)
    after.start()
    process = begun(tmp_path, "resume", "run")
    output, _ = process.communicate(timeout=PATIENCE)
    after.ended.set()
    after.join()
    assert process.returncode == 0, output
    assert not after.searched
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["queries"]) == ("finished", 16)
    duels = [duel["of"] for duel in result["raters"]["duels"]]
    assert set(duels) == {4}
    assert (len(before.duel), len(after.duel)) == (3, sum(duels) - 3)
    store.close()


def begun(folder, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zo_dno", *words]
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
