"""A run that was stopped anywhere ends as one that never was."""

import asyncio
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import zo_dno
from benchmarks.kills.cases import STRATEGIES
from tests.storage.test_ledger import first_version
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, RunError
from zo_dno.results.overview import overview
from zo_dno.search import stopwatch
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.run_folder import RunFolder

PICTURES = ("first.png", "best.png", "strip.png", "progress.png")
PAID = {"price": 0.01, "attempts": 1}


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def run(folder, reward=brightness, strategy="snes", toy=None, **options):
    options = {"queries": 48, "seed": 3, "strategy_options": {"population": 8}, **options}
    return zo_dno.optimize(toy or ToyGenerator(), reward, strategy, out=folder, **options)


def resume(folder, reward=brightness, toy=None, **options):
    return zo_dno.resume(folder, generator=toy or ToyGenerator(), reward=reward, **options)


def content(folder):
    """Everything that must not depend on when a run was stopped."""
    result = json.loads((folder / "result.json").read_text())
    ledger = Ledger(folder / "ledger.db", read_only=True)
    rows = [replace(row, seconds=0, attempts=0, cost=0) for row in ledger.all_queries()]
    populations = [(row.stage, row.number, row.first_id, row.size, row.noise) for row in ledger.populations()]
    del result["seconds"], result["cost"]
    return result, rows, populations, ledger.artifacts(), [(folder / name).read_bytes() for name in PICTURES]


def settled(images, prompts):
    return brightness(images, prompts)


vars(settled).update(version="1")


def stops(at, error, after=False):
    """The reward `settled`, but for an error at one call, or from it on."""
    calls = []

    def reward(images, prompts):
        calls.append(1)
        if len(calls) == at or (after and len(calls) > at):
            raise error
        return settled(images, prompts)

    reward.__name__ = reward.__qualname__ = "settled"
    vars(reward).update(version="1", calls=calls)
    return reward


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.fast_cases(5)
def test_a_larger_budget_goes_on_as_if_it_had_always_been_larger(tmp_path, strategy, policy):
    run(tmp_path / "whole", strategy=strategy, horizon=21, top=3, keep_images=5, policy=policy)
    run(tmp_path / "parts", strategy=strategy, queries=21, top=3, keep_images=5, policy=policy)
    resume(tmp_path / "parts", queries=30)
    resume(tmp_path / "parts", queries=48)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def check_ctrl_c(run, tmp_path, at, **options):
    """Stop a run of `settled` at a call, go on, and find what one finds that was not stopped."""
    run(tmp_path / "whole", settled, **options)
    try:
        run(tmp_path / "parts", stops(at, KeyboardInterrupt()), **options)
    except RunError:
        assert at == 1
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("at", [1, 3, 8, 9, 30, 48])
@pytest.mark.fast_cases(6)
def test_ctrl_c_and_resume(tmp_path, at, policy):
    check_ctrl_c(run, tmp_path, at, gamma=0.5, policy=policy)


@pytest.mark.parametrize("at", [8, 24, 30])
@pytest.mark.fast_cases(2)
def test_ctrl_c_and_resume_with_preselection(tmp_path, at):
    """At the last answer of a population, too, which is then answered but not told."""
    check_ctrl_c(run, tmp_path, at, screen=4, queries=34, policy=PAID)


@pytest.mark.parametrize("policy", [{}, {"price": 0.01}], ids=["free", "paid"])
def test_a_dead_server_pauses_the_run_and_nothing_of_it_counts(tmp_path, policy):
    policy = {"breaker": 3, "attempts": 1, **policy}
    run(tmp_path / "whole", settled, policy=policy)
    dies = stops(20, ConnectionError("no route to the judge"), after=True)
    result = run(tmp_path / "parts", dies, policy=policy)
    assert len(dies.calls) == 22
    assert result.status == "paused"
    assert result.queries == 19
    assert result.failed_queries == 0
    assert "Paused after 19 answered queries: the last 3 queries all failed" in result.pause
    assert f"zo-dno resume {tmp_path / 'parts'}" in result.pause
    assert overview(tmp_path / "parts").state == "paused"
    result = resume(tmp_path / "parts", settled)
    whole, parts = content(tmp_path / "whole"), content(tmp_path / "parts")
    assert [replace(row, failures="") for row in parts[1]] == whole[1]
    assert parts[0] == whole[0]
    assert parts[2:] == whole[2:]


def test_a_run_paused_before_any_score_says_so_and_goes_on(tmp_path):
    dead = stops(1, PermissionError("bad key"), after=True)
    with pytest.raises(RunError, match=r"Paused after 0 answered queries: .*bad key.*zo-dno resume"):
        run(tmp_path / "parts", dead, policy={"breaker": 4, **PAID})
    run(tmp_path / "whole", settled, policy={"breaker": 4, **PAID})
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts")[0] == content(tmp_path / "whole")[0]


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def crashing(monkeypatch, at, after):
    """End the process, as it were, at a write of the ledger, before or after it."""
    put, left = Ledger.put, [at]

    def crashes(self, *arguments, **named):
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Crash
        put(self, *arguments, **named)
        if left[0] == 0:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", crashes)
        yield


class Timed(zo_dno.Reward):
    """Answers what the image decides, in an order that the test decides; some images have no score or fail at first."""

    name, unit, is_async = "timed", "n", True
    policy = CallPolicy(in_flight=4, price=0.01, first_wait=0.0001, attempts=3, breaker=0)

    def __init__(self, delays=(0,)):
        self.delays, self.calls, self.failed = delays, 0, set()

    @property
    def settings(self):
        return {}

    async def __call__(self, images, prompts):
        self.calls += 1
        await asyncio.sleep(0.001 * self.delays[self.calls % len(self.delays)])
        pixels = images[0].tobytes()
        number = hashlib.sha256(pixels).digest()[0]
        if number % 7 == 0:
            raise ValueError("no opinion")
        if number % 5 == 0 and pixels not in self.failed:
            self.failed.add(pixels)
            raise ConnectionResetError("try again")
        return [zo_dno.Score(number / 10)]


@pytest.mark.slow
@given(
    delays=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    crashes=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=3),
    strategy=st.sampled_from(["snes", "hill_climb", "zo_sgd"]),
)
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_timing_nor_restarts_change_what_is_told(monkeypatch, tmp_path_factory, delays, crashes, strategy):
    folder = tmp_path_factory.mktemp("runs")
    options = {"strategy": strategy, "queries": 24}
    whole = run(folder / "whole", Timed(), **options)
    for number, (at, after) in enumerate(crashes):
        with crashing(monkeypatch, at, after):
            try:
                if (folder / "parts" / "config.yaml").exists():
                    resume(folder / "parts", Timed(delays))
                else:
                    run(folder / "parts", Timed(delays), **options)
            except Crash:
                continue
        assert number >= 0
    if (folder / "parts" / "config.yaml").exists():
        resume(folder / "parts", Timed(delays))
    else:
        run(folder / "parts", Timed(delays), **options)

    def told(name):
        rows = Ledger(folder / name / "ledger.db", read_only=True).queries()
        return [(row.told_seq, row.id, row.told, row.value, row.kind) for row in rows]

    assert told("parts") == told("whole")
    assert whole.failed_queries > 0
    ours, theirs = content(folder / "parts"), content(folder / "whole")
    assert (ours[0], ours[2:]) == (theirs[0], theirs[2:])


def test_the_cap_ends_a_run_and_a_higher_one_goes_on(tmp_path):
    run(tmp_path / "whole", policy=PAID)
    result = run(tmp_path / "parts", policy=PAID, max_cost=0.205)
    assert (result.queries, result.stopped_by) == (20, "cost")
    assert result.cost == pytest.approx(0.2)
    result = resume(tmp_path / "parts", max_cost=1.0)
    assert result.cost == pytest.approx(0.48)
    assert result.stopped_by == "queries"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_what_a_kill_may_have_cost_is_said(tmp_path, caplog):
    """Four calls are in flight when the run is killed; at the cap it says why nothing more is sent."""
    run(tmp_path / "run", policy=PAID, max_cost=0.205)
    with closing(Ledger(tmp_path / "run" / "ledger.db")) as ledger:
        rows = [row for row in ledger.queries() if row.id >= 16]
        ledger.put([replace(row, status="asked", value=None, cost=0.0, attempts=0) for row in rows])
    result = resume(tmp_path / "run")
    said = "4 calls were in flight when the run was killed; what they cost is unknown, so 0.04, all of their attempts"
    assert said in caplog.text
    assert (result.queries, result.stopped_by, result.cost) == (16, "cost", pytest.approx(0.2))
    assert result.spent.startswith(f"0.2 of max_cost 0.205 are spent ({said}, count as spent), and one query can cost")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["spent"] == result.spent
    caplog.clear()
    result = resume(tmp_path / "run", max_cost=1.0)
    assert (result.queries, result.spent, caplog.text) == (48, None, "")
    assert result.cost == pytest.approx(0.48 + 0.04)


def test_a_cap_below_one_query_asks_nothing(tmp_path):
    with pytest.raises(
        RunError, match=r"No query was sent: 0 of max_cost 0\.01 are spent, and one query can cost 0\.05"
    ):
        run(tmp_path / "run", policy={"price": 0.01, "attempts": 5}, max_cost=0.01)


def test_a_cap_without_a_price_is_refused(tmp_path):
    with pytest.raises(InputError, match="max_cost must come with a price; 'brightness' has none"):
        run(tmp_path / "run", max_cost=1.0)


def test_denoiser_calls_end_a_run(tmp_path):
    result = run(tmp_path / "run", nfe=41)
    assert (result.queries, result.nfe, result.stopped_by) == (20, 40, "nfe")
    assert resume(tmp_path / "run", nfe=96).queries == 48


def test_a_finished_run_resumes_to_itself(tmp_path):
    run(tmp_path / "run", baseline="equal", held_out=["darkness"], policy=PAID)
    before = content(tmp_path / "run")
    resume(tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_a_budget_below_what_was_asked_is_refused(tmp_path):
    run(tmp_path / "run", queries=24)
    before = content(tmp_path / "run")
    with pytest.raises(InputError, match="queries must be at least the 24 scored already; got 20"):
        resume(tmp_path / "run", queries=20)
    resume(tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_answers_are_shared_by_runs(tmp_path):
    options = {"cache": tmp_path / "answers.db", "policy": PAID}
    first = run(tmp_path / "one", settled, **options)
    second = run(tmp_path / "two", settled, **options)
    assert (first.cached_queries, first.cost) == (0, pytest.approx(0.48))
    assert (second.queries, second.cached_queries, second.cost) == (48, 48, 0)
    assert second.best.reward == first.best.reward
    assert all(row.cached for row in second.history)


def edit(folder, **changes):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))


def test_an_edited_config_is_refused_with_what_differs(tmp_path):
    run(tmp_path / "run", queries=24)
    edit(tmp_path / "run", seed=4, gamma=0.1)
    with pytest.raises(
        InputError, match=r"cannot be resumed as it began: gamma: 0.0, now 0.1; seed: 3, now 4\..*--accept-drift"
    ):
        resume(tmp_path / "run", queries=48)
    edit(tmp_path / "run", seed=3, gamma=0.0, top=2)  # how many are kept may change
    assert resume(tmp_path / "run", queries=48).drift is None


def test_another_reward_is_refused_unless_accepted(tmp_path):
    run(tmp_path / "run", queries=24)

    def other(images, prompts):
        return [2 * value for value in brightness(images, prompts)]

    other.__name__ = "brightness"
    with pytest.raises(InputError, match="reward code"):
        resume(tmp_path / "run", other, queries=48)
    result = resume(tmp_path / "run", other, queries=48, accept_drift=True)
    assert "reward code" in result.drift
    assert "reward code" in json.loads((tmp_path / "run" / "result.json").read_text())["drift"]
    assert resume(tmp_path / "run", other).drift == result.drift


def test_a_model_that_draws_something_else_is_refused(tmp_path):
    run(tmp_path / "run", queries=24)
    other = ToyGenerator()
    other._map = other._map * 1.01
    with pytest.raises(InputError, match="the model renders another image of candidate"):
        resume(tmp_path / "run", toy=other, queries=48)
    result = resume(tmp_path / "run", toy=other, queries=48, accept_drift=True)
    assert "the model renders another image" in result.drift


@pytest.fixture
def other_noise(monkeypatch):
    """Make torch draw other numbers from the same seed, as another version might."""
    from zo_dno.strategies.base import PopulationStrategy

    def change():
        randn = PopulationStrategy.randn
        monkeypatch.setattr(PopulationStrategy, "randn", lambda self, n: randn(self, n).flip(1))

    return change


def test_other_noise_is_refused_or_goes_on_from_the_snapshot(tmp_path, other_noise):
    before = run(tmp_path / "run", queries=28, policy=PAID)
    other_noise()
    with pytest.raises(InputError, match="the strategy proposes other noise from query 1 on"):
        resume(tmp_path / "run", queries=48)
    result = resume(tmp_path / "run", queries=40, accept_drift=True)
    assert "other noise" in result.drift
    assert result.queries == 40
    assert result.best.reward >= before.best.reward
    assert np.array_equal(ToyGenerator()(result.best.z[None])[0].numpy(), result.best.image)
    result = resume(tmp_path / "run", queries=48)  # from the next snapshot, without asking again
    assert result.queries == 48
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
    assert [row.told_seq for row in rows] == list(range(48))
    assert sum(row.cost for row in rows) == pytest.approx(0.48)


def test_a_free_run_has_no_snapshot_to_go_on_from(tmp_path, other_noise):
    run(tmp_path / "run", queries=24)
    other_noise()
    with pytest.raises(InputError, match="snapshot .* cannot be read"):
        resume(tmp_path / "run", queries=48, accept_drift=True)


def test_an_image_that_is_gone_is_drawn_again(tmp_path, caplog):
    run(tmp_path / "run", policy=PAID)
    before = content(tmp_path / "run")
    best = tmp_path / "run" / "images" / f"{before[0]['best']['image']}.png"
    best.unlink()
    assert overview(tmp_path / "run").lost_files == [f"images/{best.name}"]
    resume(tmp_path / "run")
    assert "was gone or damaged; it was rendered again" in caplog.text
    assert content(tmp_path / "run") == before
    assert best.exists()


def test_two_processes_on_one_folder(tmp_path):
    run(tmp_path / "run", queries=24)
    with (
        RunFolder(tmp_path / "run", new=False),
        pytest.raises(InputError, match=rf"is being worked on by process {os.getpid()}"),
    ):
        resume(tmp_path / "run", queries=48)
    assert resume(tmp_path / "run", queries=48).queries == 48


def test_a_clock_that_goes_backwards(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    now = [time.time()]

    def backwards():
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    run(tmp_path / "parts", queries=20, horizon=48)
    resume(tmp_path / "parts", queries=48)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_seconds_are_those_of_all_sessions(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    def slow(images, prompts):
        now[0] += 0.02
        return brightness(images, prompts)

    first = run(tmp_path / "run", slow, queries=1000, seconds=0.5)
    assert first.stopped_by == "seconds"
    again = resume(tmp_path / "run", slow)
    assert again.queries == first.queries
    assert resume(tmp_path / "run", slow, seconds=1.0).queries > first.queries


@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_a_damaged_ledger(tmp_path, damage):
    run(tmp_path / "run", queries=24)
    file = tmp_path / "run" / "ledger.db"
    file.write_bytes(b"garbage" * 999 if damage == "garbage" else file.read_bytes()[:9000])
    for look in (resume, overview):
        with pytest.raises(InputError, match="is damaged or no ledger"):
            look(tmp_path / "run")


def test_a_ledger_that_keeps_no_fingerprints_cannot_go_on(tmp_path):
    run(tmp_path / "run", queries=24)
    for file in (tmp_path / "run").glob("ledger.db*"):
        file.unlink()
    first_version(tmp_path / "run" / "ledger.db")
    assert overview(tmp_path / "run").counts["search"]["scored"] == 1
    with pytest.raises(InputError, match="can be shown and exported"):
        resume(tmp_path / "run")


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"run must be the folder of a run; .* has no config.yaml"):
        resume(tmp_path)


@pytest.mark.parametrize("known", [(), ("config",), ("config", "reward")])
def test_a_process_killed_between_the_first_facts_of_a_run(tmp_path, known):
    """Ledgers of earlier versions may hold some of them: a missing one was not recorded."""
    run(tmp_path / "whole", settled)
    run(tmp_path / "parts", settled)
    with closing(sqlite3.connect(tmp_path / "parts" / "ledger.db")) as ledger, ledger:
        for table in ("query", "population", "artefact"):
            ledger.execute(f"DELETE FROM {table}")
        ledger.execute(f"DELETE FROM run WHERE key NOT IN ({', '.join('?' * len(known))})", known)
    (tmp_path / "parts" / "result.json").unlink()
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_what_a_config_cannot_name_is_asked_for(tmp_path):
    run(tmp_path / "run", queries=24)
    with pytest.raises(InputError, match="generator must be given: the run's model was a Python object"):
        zo_dno.resume(tmp_path / "run")


LIMITED = """
import os, resource, sys
import torch, zo_dno
from tests.end_to_end.test_resume import run, resume, settled
import PIL.PngImagePlugin, matplotlib.figure, zo_dno.results.progress_figure, zo_dno.run.session
from pathlib import Path
from types import SimpleNamespace
torch.set_num_threads(1)
folder, what = Path(sys.argv[1]), sys.argv[2]
if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
else:
    run(folder.parent / "before", settled, queries=24)  # imports everything, which another user may not
    resume(folder.parent / "before", settled)
    os.seteuid(65534)
try:
    if what == "full":
        run(folder, settled, queries=4000, asking={"price": 0.01})
    else:
        resume(folder, settled, queries=48)
except zo_dno.ZoDnoError as error:
    print(type(error).__name__, error)
"""


def limited(folder, what):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LIMITED, str(folder), what]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path):
    said = limited(tmp_path / "run", "full")
    assert said.startswith("StorageError")
    assert "could not be" in said
    assert len(said.strip().splitlines()) == 1
    kept = [row for row in Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries() if row.completed]
    assert len(kept) > 10
    edit(tmp_path / "run", queries=len(kept) + 20)
    result = resume(tmp_path / "run", settled)
    assert result.queries == len(kept) + 20
    assert result.history[: len(kept) // 2] == tuple(kept[: len(kept) // 2])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.slow
def test_a_folder_that_cannot_be_written():
    with tempfile.TemporaryDirectory() as readable:  # pytest closes its own folders to other users
        Path(readable).chmod(0o755)
        folder = Path(readable) / "run"
        run(folder, settled, queries=24)
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        said = limited(folder, "read-only")
        assert said.startswith("InputError run must be a folder that can be written to")
        assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
