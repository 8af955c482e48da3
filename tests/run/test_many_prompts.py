"""Many prompts at once find what each finds by itself."""

import csv
import os
import signal
import threading
import time

import pytest
import torch

import zo_dno
from tests.support import fake_ray
from zo_dno.distributed.reward_actors import RewardActors
from zo_dno.errors import InputError
from zo_dno.generators.imported import imported_generator
from zo_dno.generators.pixels import bytes_of
from zo_dno.noise.space import NoiseLayout
from zo_dno.run.config import validated
from zo_dno.run.many_prompts import read_prompts, resume_many, run_many
from zo_dno.storage.atomic import read_yaml

TOY, SCENES = {"model": "tests.support.toys:prompted", "batch_size": 8}, {"model": "scenes-64", "steps": 1}
PROMPTS = ["mountains at day", "sea at dusk, clear", "hills at night"]


def config(model=TOY, **changes):
    values = {"prompt": PROMPTS[0], **model, "queries": 24, "threads": 1, "seed": 3, **changes}
    return validated({"strategy_options": {"population": 8}, **values})


def comparable(found):
    return {key: value for key, value in found.items() if key != "seconds"}


def alone(prompt, **changes):
    generator = imported_generator(TOY["model"], prompt, TOY["batch_size"], {})
    options = {"queries": 24, "threads": 1, "seed": 3, "strategy_options": {"population": 8}, **changes}
    return comparable(zo_dno.optimize(generator, "jpeg_smaller", **options).to_dict())


def test_each_prompt_finds_what_it_finds_alone(tmp_path):
    steps = []
    lines = run_many(config(), PROMPTS, tmp_path / "out", lambda prompt, step: steps.append(prompt), at_once=3)
    assert [line.prompt for line in lines] == PROMPTS
    for line in lines:
        assert comparable(line.result) == alone(line.prompt)
        assert (line.folder / "best.png").exists()
    assert set(steps) == set(PROMPTS)
    assert [line.folder.name for line in lines] == [
        "001-mountains-at-day",
        "002-sea-at-dusk-clear",
        "003-hills-at-night",
    ]
    with (tmp_path / "out" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["best"]) for row in rows] == [line.result["best"]["reward"] for line in lines]


def test_all_share_one_set_of_fake_actors(tmp_path, monkeypatch):
    fake_ray.put_in_place(monkeypatch)
    check_all_share_one_set(tmp_path, monkeypatch)


@pytest.mark.ray
@pytest.mark.slow
def test_all_share_one_set_of_actors(tmp_path, monkeypatch):
    check_all_share_one_set(tmp_path, monkeypatch)


def check_all_share_one_set(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("zo_dno.distributed.reward_actors.RewardActors.__init__", _noting(made))
    lines = run_many(config(workers=2, generators=1), PROMPTS, tmp_path / "out")
    assert made == [2]
    assert [comparable(line.result) for line in lines] == [alone(prompt) for prompt in PROMPTS]


def _noting(made):
    init = RewardActors.__init__

    def noting(self, reward, workers, **options):
        made.append(workers)
        init(self, reward, workers, **options)

    return noting


def test_one_that_fails_keeps_no_other_from_its_end(tmp_path):
    lines = run_many(config(reward="tests.support.light_reward:of_the_sea"), PROMPTS, tmp_path / "out", at_once=2)
    assert [line.result is None for line in lines] == [True, False, True]
    assert "None of 24 queries got a score" in lines[0].error


def broken_at_sea(z, prompt):
    """Render black images, but for the sea's prompt, at which it fails as no reward or model should."""
    if "sea" in prompt and len(z) > 2:  # not in the trial before the run
        raise ValueError("no\nsea")
    return torch.zeros((len(z), 4, 4, 3), dtype=torch.uint8)


broken_at_sea.shape = (3, 4, 4)  # type: ignore[attr-defined]


def test_an_unexpected_error_is_that_of_its_prompt_alone(tmp_path, caplog):
    lines = run_many(config({"model": f"{__name__}:broken_at_sea"}, queries=8), PROMPTS, tmp_path / "out", at_once=3)
    assert [line.error for line in lines] == [None, "ValueError: no sea", None]
    assert [line.result and line.result["queries"] for line in lines] == [8, None, 8]
    with (tmp_path / "out" / "summary.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished", lines[1].error, "finished"]
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "002-sea-at-dusk-clear" in logged.getMessage()


def interrupted(problem):
    raise KeyboardInterrupt


def exiting(problem):
    raise SystemExit("enough")


@pytest.mark.parametrize(
    ("strategy", "error", "status"),
    [(interrupted, None, "not begun"), (exiting, "SystemExit: enough", "SystemExit: enough")],
)
def test_an_end_of_the_process_inside_a_thread_ends_its_prompt(tmp_path, strategy, error, status):
    own = {"strategy": f"{__name__}:{strategy.__name__}", "strategy_options": {}}
    lines = run_many(config(**own), PROMPTS[:2], tmp_path / "out", at_once=2)
    assert [(line.error, line.cells[1]) for line in lines] == [(error, status)] * 2


def painted(z, prompt):
    """The toy's colours as floats with a gradient; two calls at the same moment are an error."""
    assert not _inside.locked()
    with _inside:
        time.sleep(0.002)
        return (z[:, :48].reshape(-1, 3, 4, 4) * 0.1 + 0.5 + 0.001 * len(prompt)).clamp(0, 1)


painted.shape = (3, 4, 4)  # type: ignore[attr-defined]
_inside = threading.Lock()


@pytest.mark.parametrize(("strategy", "queries"), [("hybrid2", 24), ("dno", 2)])
def test_a_model_is_entered_by_one_search_at_a_time_for_gradients_too(strategy, queries, tmp_path):
    options = {"strategy": strategy, "strategy_options": {}, "reward": "brightness", "queries": queries}
    model = {"model": f"{__name__}:painted"}
    found = run_many(config(model, **options), PROMPTS, tmp_path / "out", at_once=3)
    assert [line.error for line in found] == [None] * 3
    assert [line.result["queries"] for line in found] == [queries] * 3


class Entered:
    """The painted toy with latents, which are the noise."""

    layout, nfe = NoiseLayout(((3, 4, 4),)), 1

    def __init__(self, prompt=""):
        self.prompt = prompt

    def with_prompt(self, prompt):
        return Entered(prompt)

    def __call__(self, z):
        return bytes_of(painted(z, self.prompt))

    def latents(self, z):
        painted(z, self.prompt)
        return z.reshape(-1, 3, 4, 4)


def test_latents_are_in_turn_too(tmp_path):
    options = {"strategy": "fast_direct", "reward": "brightness", "queries": 24}
    found = run_many(config({"model": f"{__name__}:Entered"}, **options), PROMPTS, tmp_path / "out", at_once=3)
    assert [line.error for line in found] == [None] * 3
    assert [line.result["strategy_images"] for line in found] == [8 * (1 + 2 + 3)] * 3


def test_changes_of_resumed_prompts_reach_every_run_or_are_refused(tmp_path):
    run_many(config(nfe=8), PROMPTS[:2], tmp_path / "out")
    found = resume_many(tmp_path / "out", nfe=16, at_once=1)
    assert [(line.result["nfe"], line.result["stopped_by"]) for line in found] == [(16, "nfe")] * 2
    found = resume_many(tmp_path / "out", nfe=1000, queries=24, seconds=1000.0, workers=0)
    assert [(line.result["queries"], line.result["stopped_by"]) for line in found] == [(24, "queries")] * 2
    with pytest.raises(InputError, match="seed must stay as it was"):
        resume_many(tmp_path / "out", seed=4)


def test_a_resumed_prompt_takes_all_changes_that_a_resumed_run_takes(tmp_path):
    out, policy = tmp_path / "out", {"requests_per_minute": 60_000}
    run_many(config(policy=policy), PROMPTS[:2], out, at_once=1)
    for line in resume_many(out, top=3, held_out=["contrast"], at_once=1):
        assert (line.result["queries"], len(line.result["top"])) == (24, 3)
        assert line.result["held_out"]["contrast"]["best"] is not None
        assert read_yaml(line.folder / "config.yaml")["held_out"] == ["contrast"]
    for line in resume_many(out, queries=32, at_once=2):  # which share the new rate
        assert (line.result["queries"], len(line.result["top"])) == (32, 3)
        assert read_yaml(line.folder / "config.yaml")["policy"]["requests_per_minute"] == 30_000


def test_a_prompt_whose_run_is_over_is_not_opened_again(tmp_path):
    lines = run_many(config(queries=8), PROMPTS[:2], tmp_path / "out")
    written = [(line.folder / "result.json").stat().st_mtime_ns for line in lines]
    assert resume_many(tmp_path / "out", at_once=2, keep_images=1) == lines
    assert [(line.folder / "result.json").stat().st_mtime_ns for line in lines] == written


def test_after_a_stop_no_other_prompt_is_opened(tmp_path):
    before = run_many(config(queries=8), PROMPTS, tmp_path / "out")
    (before[2].folder / "result.json").unlink()

    def stop(prompt, step):
        if step.queries == 16:
            os.kill(os.getpid(), signal.SIGINT)

    lines = resume_many(tmp_path / "out", stop, queries=100_000, at_once=1)
    assert lines[0].result["status"] == "interrupted"
    assert lines[1] == before[1]
    assert (lines[2].result, lines[2].error, lines[2].cells[1]) == (None, None, "stopped")


def test_drift_is_accepted_for_every_run(tmp_path):
    run_many(config(queries=16, reward_options={"quality": 90}), PROMPTS[:2], tmp_path / "out")
    for path in (tmp_path / "out").rglob("config.yaml"):
        path.write_text(path.read_text().replace("quality: 90", "quality: 91"))
    refused = resume_many(tmp_path / "out", queries=24)
    assert all("cannot be resumed as it began" in line.error for line in refused)
    accepted = resume_many(tmp_path / "out", queries=24, accept_drift=True)
    assert [line.error for line in accepted] == [None] * 2
    assert all("quality" in line.result["drift"] for line in accepted)


def test_a_function_whose_batch_size_is_its_own_is_resumed_as_it_began(tmp_path):
    own = {"model": "tests.support.toys:prompted"}
    run_many(config(own), PROMPTS[:2], tmp_path / "out")
    lines = resume_many(tmp_path / "out", queries=32)
    assert [(line.error, line.result["queries"]) for line in lines] == [(None, 32)] * 2


def test_ctrl_c_stops_all_and_keeps_what_was_answered(tmp_path):
    seen = set()

    def stop_once_two_run(prompt, step):
        if prompt not in seen:
            seen.add(prompt)
            if len(seen) == 2:
                os.kill(os.getpid(), signal.SIGINT)

    lines = run_many(config(queries=100_000), PROMPTS, tmp_path / "out", stop_once_two_run, at_once=2)
    assert [line.result and line.result["status"] for line in lines] == ["interrupted", "interrupted", None]
    assert all(line.result["queries"] >= 8 for line in lines[:2])


def test_ctrl_c_while_a_search_starts_leaves_no_search_behind(tmp_path, monkeypatch):
    start = threading.Thread.start

    def interrupted_start(thread):
        start(thread)
        if thread.name.startswith("zo-dno search"):
            os.kill(os.getpid(), signal.SIGINT)  # before the executor knows the thread

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    lines = run_many(config(queries=100_000), PROMPTS, tmp_path / "out", at_once=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("zo-dno search")]
    assert [line.cells[1] for line in lines[1:]] == ["not begun"] * 2


def test_money_and_rates_are_shared_out(tmp_path):
    policy = {"price": 0.01, "requests_per_minute": 60_000, "attempts": 1}
    lines = run_many(config(policy=policy, max_cost=0.3), PROMPTS, tmp_path / "out", at_once=3)
    assert [line.result["queries"] for line in lines] == [10, 10, 10]
    assert sum(line.result["cost"] for line in lines) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has none"),
        ("# only a remark\n\n", "has none"),
        ("sea at day\nsea at day\n", "has 'sea at day' twice"),
        (None, "prompts must be a text file with a prompt a line"),
        ("sea at day\n".encode("utf-16"), "it is UTF-16; save it as UTF-8"),
        (b"sea at d\xe4y\n", "can't decode byte 0xe4"),
    ],
)
def test_bad_files_of_prompts(tmp_path, text, said):
    path = tmp_path / "prompts.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        read_prompts(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_prompts_end_as_editors_end_them(tmp_path, encoding, end):
    """And not at a next-line character or a line separator inside a prompt."""
    prompts = ["a cat\x85 asleep", "the sea\u2028 at day", "caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{CAT FACE}"]
    (tmp_path / "prompts.txt").write_bytes((end.join(prompts) + end).encode(encoding))
    assert read_prompts(tmp_path / "prompts.txt") == prompts


def test_a_prompt_that_cannot_be_drawn_is_found_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="zebra"):
        run_many(config(SCENES), [PROMPTS[0], "a zebra"], tmp_path / "out")
    assert not list((tmp_path / "out").glob("00*"))


USERS = [".viminfo.1", ".notes.2024", ".photo.2024.png"]


def test_files_of_the_user_stay_in_a_folder_that_is_refused_or_taken(tmp_path):
    for name in (*USERS, ".summary.4711.csv", "thesis.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="out must be a new folder"):
        run_many(config(queries=8), PROMPTS[:1], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*USERS, ".summary.4711.csv", "thesis.txt"}
    (tmp_path / "thesis.txt").unlink()
    run_many(config(queries=8), PROMPTS[:1], tmp_path)
    assert {path.name for path in tmp_path.glob(".*")} == {*USERS, ".lock", ".signature"}


def test_a_folder_of_other_prompts_is_refused(tmp_path):
    run_many(config(queries=8), PROMPTS[:1], tmp_path / "out")
    with pytest.raises(InputError, match="has others. Name another"):
        run_many(config(queries=8), PROMPTS[:2], tmp_path / "out")
    (line,) = resume_many(tmp_path / "out", queries=16)
    assert line.result["queries"] == 16
