"""A run that is stopped at any moment leaves what it found, and goes on to the end of one that was not."""

import json
import os
import signal
from pathlib import Path

import pytest

from benchmarks.kills.cases import CASES, STRATEGIES
from benchmarks.kills.difference import difference
from benchmarks.kills.trial import ATTACKS
from benchmarks.reliability import carried_out, planned
from tests.support.command_line import exit_code
from tests.support.dying import KilledError, going_wrong
from tests.support.resuming import PAID, content, resume, run, settled
from tests.support.toys import ToyGenerator
from zo_dno.errors import RunError
from zo_dno.run import session
from zo_dno.storage.ledger import Ledger

HERE = [name for name, case in CASES.items() if not case.distributed]


def pressed_at(at, name="settled"):
    """The reward `settled`, in one of whose calls Ctrl-C is pressed."""
    calls = []

    def reward(images, prompts):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return settled(images, prompts)

    reward.__name__ = reward.__qualname__ = name
    vars(reward).update(version="1", calls=calls)
    return reward


@pytest.mark.parametrize("policy", [{}, PAID], ids=["free", "paid"])
@pytest.mark.parametrize("at", [49, 55, 60])
@pytest.mark.fast_cases(2)
def test_ctrl_c_in_the_baseline(tmp_path, at, policy):
    options = {"policy": policy, "baseline": 12}
    run(tmp_path / "whole", settled, **options)
    result = run(tmp_path / "parts", pressed_at(at), **options)
    assert result.status == "interrupted"
    assert json.loads((tmp_path / "parts" / "result.json").read_text())["status"] == "interrupted"
    assert resume(tmp_path / "parts", settled).status == "finished"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("at", [24, 32, 33, 34, 36])
@pytest.mark.fast_cases(1)
def test_ctrl_c_with_preselection(tmp_path, at):
    """Also at the last answer among the chosen of a population: all of it is recorded then, but no prediction."""
    options = {"policy": {**PAID, "in_flight": 3}, "screen": 4, "queries": 40}
    run(tmp_path / "whole", settled, **options)
    assert run(tmp_path / "parts", pressed_at(at), **options).status == "interrupted"
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.parametrize("policy", [{}, PAID, {**PAID, "in_flight": 3}], ids=["free", "paid", "paid, 3 in flight"])
@pytest.mark.parametrize("at", [1, 14, 15, 16])
@pytest.mark.fast_cases(2)
def test_ctrl_c_in_the_warm_up(tmp_path, at, policy):
    """Also at its last response, which completes it: the run stops all the same, and the resumed one tells the rest."""
    options = {"policy": policy, "require": ["contrast >= 0.01"]}
    run(tmp_path / "whole", settled, **options)
    with pytest.raises(RunError, match=r"The run was stopped in the warm-up, \d+ of 16 queries"):
        run(tmp_path / "parts", pressed_at(at), **options)
    assert not Ledger(tmp_path / "parts" / "ledger.db", read_only=True).queries()
    assert resume(tmp_path / "parts", settled).status == "finished"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_ctrl_c_in_a_held_out_reward(tmp_path):
    run(tmp_path / "whole", settled, held_out=[pressed_at(0, "shy")])
    result = run(tmp_path / "parts", settled, held_out=[pressed_at(1, "shy")])
    assert result.status == "interrupted"
    assert result.held_out == {"shy": (None, None)}
    resume(tmp_path / "parts", settled, held_out=[pressed_at(0, "shy")])
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_ctrl_c_while_the_result_is_written(tmp_path, monkeypatch):
    write = session.write_outputs

    def pressing(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        write(*arguments)

    run(tmp_path / "whole", settled)
    monkeypatch.setattr(session, "write_outputs", pressing)
    assert run(tmp_path / "parts", settled).status == "finished"
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_what_a_kill_may_have_cost_is_no_higher_price(tmp_path):
    """Calls in flight count with all their attempts, and those that follow cost what they did."""
    options = {"policy": {"price": 0.01, "attempts": 5, "in_flight": 3, "first_wait": 0.001}, "max_cost": 0.3}
    for at in range(4, 9):  # one of these writes comes when three calls are in flight and none is answered
        with going_wrong(at, "after"), pytest.raises(KilledError):
            run(tmp_path / str(at), settled, **options)
        result = resume(tmp_path / str(at), settled)
        assert result.stopped_by == "cost"
        assert 0.3 - 0.05 < result.cost <= 0.3
        assert result.queries >= 10


def test_a_paused_baseline_is_no_finished_run(tmp_path):
    calls = []

    def dies(images, prompts):
        calls.append(1)
        if len(calls) > 50:
            raise ConnectionError("no route to the judge")
        return settled(images, prompts)

    dies.__name__ = dies.__qualname__ = "settled"
    vars(dies).update(version="1")
    result = run(tmp_path / "parts", dies, baseline=12, policy={"breaker": 3, **PAID})
    assert result.status == "paused"
    assert "no route to the judge" in result.pause


KINDS = {
    "run": ["--prompt", "a", "--model", "tests.support.toys:prompted"],
    "many prompts": ["--prompts", "prompts.txt", "--model", "tests.support.toys:prompted"],
    "draft": ["--prompt", "sea at dusk", "--model", "scenes-64", "--steps", "2", "--draft", "1"],
}


@pytest.mark.parametrize(
    ("kind", "real"),
    [("run", True), ("many prompts", True), ("draft", False), pytest.param("draft", True, marks=pytest.mark.slow)],
)
def test_a_command_that_died_at_its_first_writes_can_be_given_again(tmp_path, monkeypatch, kind, real):
    """What it had not finished is removed, and does not count as another run's folder."""
    monkeypatch.chdir(tmp_path)
    if not real:
        monkeypatch.setattr("zo_dno.run.draft.make_generator", lambda config: ToyGenerator(prompt=config.prompt))
    Path("prompts.txt").write_text("a\nb\n")
    options = ["--queries", 4, "--threads", 1, "--out", "out"]
    words = ["run", *options, *KINDS[kind]]
    for at in (1, 2):
        with going_wrong(at, "before", files=True), pytest.raises(KilledError):
            exit_code(words)
        Path("out").mkdir(exist_ok=True)
        Path("out", f".{'draft' if kind == 'draft' else 'config'}.{at}.yaml").touch()  # as a real kill leaves it
    begun = any(Path("out", name).exists() for name in ("config.yaml", "draft.yaml"))
    assert exit_code(["resume", "out"] if begun else words) == 0
    assert not list(Path("out").glob(".*.yaml"))


def test_trials_are_drawn_as_the_shares_say():
    trials = planned(1000, list(CASES), STRATEGIES, seed=0)
    assert trials == planned(1000, list(CASES), STRATEGIES, seed=0)
    assert abs(len(trials) - 1000) <= len(CASES)
    for case in HERE:
        own = [trial for trial in trials if trial[0] == case]
        assert {attack for _, _, attack in own} == set(ATTACKS)
        assert {strategy for _, strategy, _ in own} == set(CASES[case].strategies)


@pytest.mark.parametrize(
    ("found", "where"),
    [
        ({"told": {"a": 1.5, "b": ""}, "file": b"\x00\x01"}, ""),
        ({"told": {"a": None, "b": "x"}, "file": b"\x00\x01"}, "told a: 1.5 became None, and 1 more"),
        ({"told": {"a": 1.5}, "file": b"\x00\x01"}, "told b: '' became nothing"),
        ({"told": {"a": 1.5, "b": ""}, "file": b"\x00\x02"}, "file byte 1: b'\\x01' became b'\\x02'"),
        ({"told": {"a": 1.5, "b": ""}, "file": None}, "file: b'\\x00\\x01' became None"),
        ("0" * 1000, f"{{'told': {{'a': 1.5, 'b': ''}}, 'file': b'\\x00\\x01'}} became '{'0' * 199}..."),
    ],
)
def test_a_trial_that_differs_says_where(found, where):
    assert difference({"told": {"a": 1.5, "b": ""}, "file": b"\x00\x01"}, found).removeprefix(": ") == where


@pytest.mark.slow
def test_real_processes_that_are_stopped_at_random(tmp_path):
    """Each kind of run that needs no Ray, in one of the nine ways each; a server in another process counts calls.

    `python -m benchmarks.reliability` makes as many trials as it is told.
    """
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    trials, kept = planned(len(HERE), HERE, STRATEGIES, seed=19), tmp_path / "outcomes.jsonl"
    assert {case for case, _, _ in trials} == set(HERE)
    assert {attack for _, _, attack in trials} == set(ATTACKS)
    outcomes = carried_out(trials, tmp_path / "first", seed=19, out=kept)
    assert len(outcomes) == len(trials)
    assert not [outcome for outcome in outcomes if outcome.wrong]
    assert carried_out(trials, tmp_path / "second", seed=19, out=kept) == outcomes  # none is made again
    assert not list((tmp_path / "second" / "logs").iterdir())
