import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[2]


def test_run_writes_everything(zo, tiny):
    code, output, _ = zo("run", *tiny, "--held-out", "brightness", "--top", 2, "--baseline", "equal", "--out", "here")
    assert code == 0, output
    folder = Path("here")
    names = {path.name for path in folder.iterdir()}
    pictures = {"first.png", "best.png", "strip.png", "progress.png"}
    assert names >= pictures | {"best.safetensors", "config.yaml", "ledger.db", "result.json", "top"}
    result = json.loads((folder / "result.json").read_text())
    assert set(result) >= {
        *("status", "prompt", "model", "reward", "unit", "strategy", "seed", "queries", "nfe", "failed_queries"),
        *("first", "best", "held_out", "seconds", "versions"),
    }
    assert set(result["best"]) == {"id", "reward", "log_prob", "norm_ratio", "whiteness", "feasible", "image"}
    assert set(result["seconds"]) == {"total", "generate", "score", "strategy", "other"}
    assert result["held_out"]["brightness"].keys() == {"first", "best"}
    assert result["reward"] == "jpeg_smaller"
    assert "best.png" in output
    assert f"{result['best']['reward']:.4g}" in output


def test_a_runs_config_runs_again_to_the_same_result(zo, tiny):
    assert zo("run", *tiny, "--reward", "my_rewards:warm", "--seed", 5, "--out", "one")[0] == 0
    assert zo("run", "one/config.yaml", "--out", "two")[0] == 0
    assert zo("run", "one/config.yaml", "--seed", 6, "--out", "three")[0] == 0
    one, two, three = (json.loads(Path(name, "result.json").read_text()) for name in ("one", "two", "three"))
    del one["seconds"], two["seconds"]
    assert one == two
    assert three["best"]["image"] != one["best"]["image"]


@pytest.mark.slow
def test_another_process_gives_the_same_result(zo, tiny):
    assert zo("run", *tiny, "--out", "one")[0] == 0
    command = [sys.executable, "-m", "zo_dno.ui.cli.main", "run", *map(str, tiny), "--out", "two"]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    one, two = (json.loads(Path(name, "result.json").read_text()) for name in ("one", "two"))
    del one["seconds"], two["seconds"]
    assert one == two


@pytest.fixture
def own(zo, monkeypatch):
    """Options of a model and a reward that are files of the current folder, which nothing has put on the path."""
    Path("my_models.py").write_text("from tests.support.toys import prompted as paint\n")
    Path("prompts.txt").write_text("sea\nhills\n")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(Path.cwd())])
    for name in ("my_models", "my_rewards"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    few = ("--queries", 16, "--threads", 1, "--strategy-option", "population=8")
    return ("--model", "my_models:paint", "--reward", "my_rewards:warm", *few)


def test_files_of_the_current_folder_are_found_by_every_command(zo, own, tiny, monkeypatch):
    for words in (
        ("run", *own, "--prompt", "sea", "--out", "one"),
        ("resume", "one", "--queries", 24),
        ("render", "one"),
        ("run", *own, "--prompts", "prompts.txt", "--out", "many"),
        ("resume", "many", "--queries", 24, "--seconds", 1000, "--nfe", 10**6),
        ("run", *tiny, "--reward", "my_rewards:warm", "--steps", 4, "--draft", 2, "--out", "draft"),
        ("resume", "draft"),
    ):
        with monkeypatch.context() as fresh:
            fresh.setattr(sys, "path", [path for path in sys.path if path != str(Path.cwd())])
            for name in ("my_models", "my_rewards"):
                fresh.delitem(sys.modules, name, raising=False)
            code, output, errors = zo(*words)
        assert code == 0, (words, output, errors)


@pytest.mark.parametrize("out", ["x" * 300, "x" * 300 + "/a", "a/" * 3000])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--prompts", "prompts.txt", "--out"),
        ("run", "--prompt", "sea", "--out"),
        ("show",),
        ("resume",),
        ("report",),
    ],
)
def test_a_path_that_is_too_long_is_one_line(zo, own, words, out):
    code, _, errors = zo(words[0], *(own if words[0] == "run" else ()), *words[1:], out)
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert "ile name too long" in errors
    assert len(errors) < 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prompts", "prompts.txt", "--draft", 2), "draft must be left out with prompts; got both"),
        (("--prompt", "sea", "--at-once", 2), "at-once must come with prompts; got 2 without them"),
    ],
)
def test_options_that_would_do_nothing_are_refused(zo, own, words, said):
    code, _, errors = zo("run", *own, *words, "--out", "here")
    assert code == 2
    assert said in " ".join(errors.split())
    assert not Path("here").exists()


SLEEPER = "import sys, time; time.sleep(float(sys.argv[1])); print(len(sys.argv[2]))"


def begun(words, enough):
    """Start a command in a process of its own, with a temporary folder as long as a scheduler's, and wait."""
    Path("temporary").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(Path("temporary").resolve())}
    command = [sys.executable, "-m", "zo_dno", "run", *map(str, words), "--out", "here"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not enough() and process.poll() is None:
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("more", [(), pytest.param(("--workers", 1), marks=pytest.mark.ray)], ids=["here", "workers"])
def test_a_signal_to_a_real_process_keeps_everything(zo, tiny, number, more):
    words = (*tiny, "--reward", "my_rewards:slow", "--queries", 10_000, *more)
    process = begun(words, lambda: rows(Path("here", "ledger.db")) >= 16)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    result = json.loads(Path("here", "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["queries"] == rows(Path("here", "ledger.db")) >= 16
    assert Path("here", "best.png").exists()
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "signals"), [(1, 1), (600, 2)], ids=["short calls", "twice"])
def test_sigterm_leaves_no_program_and_no_temporary_file(zo, tiny, seconds, signals):
    """Calls in flight are waited for, paid as they are; a second signal kills their programs."""
    Path("sleeper.py").write_text(SLEEPER)
    command = f"{sys.executable} {Path('sleeper.py').resolve()} {seconds} {{image}}"
    words = (*tiny, "--reward", "command", "--reward-option", f"command={command}", "--timeout", 1000)
    process = begun(words, lambda: len(programs("sleeper.py")) > 0)
    for _ in range(signals):
        process.terminate()
        time.sleep(0.5)  # signals of one kind that come together count as one
    output, _ = process.communicate(timeout=120)
    assert process.returncode not in (0, -signal.SIGTERM), output
    assert "Traceback" not in output
    assert not programs("sleeper.py")
    assert not list(Path("temporary").glob("zo-dno-*"))


def programs(word):
    """Return the command lines of processes that hold a file of this folder."""
    path, found = str(Path(word).resolve()).encode(), []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended
            found.append(line.read_bytes().split(b"\0"))
    return [words for words in found if path in words]


def rows(ledger):
    if not ledger.exists():
        return 0
    with sqlite3.connect(ledger, timeout=10) as connection:
        try:
            return connection.execute("SELECT count(*) FROM query").fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


@pytest.mark.slow
def test_a_killed_run_is_shown_and_gone_on_with(zo, tiny):
    """A real process, killed hard, of a free reward: at most the population under way is lost."""
    options = ("--reward", "my_rewards:slow", "--queries", 48, "--seed", 5)
    assert zo("run", *tiny, *options, "--out", "whole")[0] == 0
    command = [sys.executable, "-m", "zo_dno.ui.cli.main", "run", *map(str, (*tiny, *options)), "--out", "here"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while rows(Path("here", "ledger.db")) < 16 and time.monotonic() < deadline:
        time.sleep(0.05)
    code, output, _ = zo("show", "here")
    assert code == 0
    assert "in progress" in output
    process.kill()
    process.wait()
    code, output, _ = zo("show", "here")
    assert "a cat: stopped" in output
    assert "resume with: zo-dno resume here" in output
    assert zo("resume", "here")[0] == 0
    one, two = (json.loads(Path(name, "result.json").read_text()) for name in ("whole", "here"))
    del one["seconds"], two["seconds"]
    assert one == two
    for name in ("first.png", "best.png", "strip.png", "progress.png"):
        assert Path("whole", name).read_bytes() == Path("here", name).read_bytes()
    assert "a cat: finished" in zo("show", "here")[1]


def test_a_paid_run_says_what_it_cost(zo, tiny):
    price = ("--price", 0.25, "--attempts", 2, "--max-cost", 3.1, "--in-flight", 2)
    code, output, _ = zo("run", *tiny, *price, "--out", "here")
    assert code == 0
    assert "cost 2.75" in output  # the twelfth could have come to 2.75 + 2 x 0.25
    assert "are spent, and one query can cost" in output
    assert len(list(Path("here", "images").iterdir())) == 11
    assert "cost 2.75" in zo("show", "here")[1]
    assert zo("resume", "here", "--max-cost", 100)[0] == 0
    assert "cost 6" in zo("show", "here")[1]


def test_a_bad_key_pauses_the_run_in_one_line(zo, tiny):
    code, _, errors = zo(
        "run", *tiny, "--reward", "my_rewards:broken", "--attempts", 1, "--breaker", 4, "--out", "here"
    )
    assert code == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("Error: Paused after 0 answered queries: the last 4 queries all failed, at last with:")
    assert line.endswith("No more queries were sent. Fix it, then: zo-dno resume here")
    assert "no route to the judge" in line
    shown = zo("show", "here")[1]
    assert "4" in shown
    Path("my_rewards.py").write_text(
        Path("my_rewards.py")
        .read_text()
        .replace("def broken(images, prompts):", "broken = warm\n\n\ndef old(images, prompts):")
    )
    sys.modules.pop("my_rewards")
    code, _, errors = zo("resume", "here")
    assert code == 2
    assert "reward" in errors
    assert zo("resume", "here", "--accept-drift")[0] == 0
    assert "cannot be repeated exactly" in zo("show", "here")[1]


def test_export(zo, tiny):
    import pandas

    assert zo("run", *tiny, "--reward", "my_rewards:warm", "--baseline", 8, "--out", "here")[0] == 0
    assert zo("export", "here", "table.parquet")[0] == 0
    assert zo("export", "here", "table.csv")[0] == 0
    table, text = pandas.read_parquet("table.parquet"), pandas.read_csv("table.csv")
    assert len(table) == len(text) == 32
    assert list(table.columns) == list(text.columns)
    assert {"id", "population", "image", "prompt", "oracle", "status", "value", "told_seq", "cost"} <= set(
        table.columns
    )
    result = json.loads(Path("here", "result.json").read_text())
    search = table[table.stage == "search"]
    assert search[search.feasible].value.max() == result["best"]["reward"]
    assert search.feasible.dtype == search.perturbed.dtype == search.of_term.dtype == bool
    code, _, errors = zo("export", "here", "table.xlsx")
    assert code == 2
    assert "out must end in .parquet or .csv; got table.xlsx" in errors


@pytest.mark.parametrize("command", [("resume",), ("show",), ("export", "t.csv")])
def test_a_folder_without_a_run(zo, command):
    name, *rest = command
    code, _, errors = zo(name, "nowhere", *rest)
    assert code == 2
    assert errors.strip() == "Error: run must be the folder of a run; nowhere has no config.yaml."


def test_a_used_folder_says_how_to_go_on(zo, tiny):
    assert zo("run", *tiny, "--out", "here")[0] == 0
    code, _, errors = zo("run", *tiny, "--out", "here")
    assert code == 2
    assert "or resume it: zo-dno resume here" in errors


def test_render_draws_the_winner_again(zo, tiny, stable_diffusion):
    from PIL import Image
    from safetensors.torch import load_file

    assert zo("run", *tiny, "--out", "here")[0] == 0
    code, output, _ = zo("render", "here")
    assert code == 0, output
    assert Image.open("here/render/image.png").tobytes() == Image.open("here/best.png").tobytes()
    latents = load_file("here/render/latents.safetensors")["latents"]
    plain = stable_diffusion("a cat", num_inference_steps=2, guidance_scale=1.0, latents=latents).images[0]
    difference = torch.tensor(list(plain.tobytes())) - torch.tensor(list(Image.open("here/best.png").tobytes()))
    assert int(difference.abs().max()) <= 1  # another batch size may flip the last bit of a float
    assert zo("render", "here", "--steps", 4, "--out", "more")[0] == 0
    assert Image.open("more/image.png").tobytes() != Image.open("here/best.png").tobytes()


def test_render_of_a_run_that_searched_every_step(zo, tiny):
    from PIL import Image

    options = ("--search", "all", "--generator-option", "eta=1", "--steps", 3)
    assert zo("run", *tiny, *options, "--out", "here")[0] == 0
    assert zo("render", "here")[0] == 0
    assert Image.open("here/render/image.png").tobytes() == Image.open("here/best.png").tobytes()
    assert zo("render", "here", "--steps", 5)[0] == 0


def test_list_names_everything(zo):
    from zo_dno.rewards import REWARDS
    from zo_dno.strategies import STRATEGIES

    code, output, _ = zo("list")
    assert code == 0
    for name in (*REWARDS, *STRATEGIES, "scenes"):
        line = next(line for line in output.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3, line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reward", "jpeg_smalle"], "reward 'jpeg_smalle' is unknown. Did you mean 'jpeg_smaller'?"),
        (["--strategy", "cma_es"], "strategy 'cma_es' is unknown. Did you mean 'cmaes'?"),
        (["--model", "scene"], "model 'scene' is unknown. Did you mean 'scenes'?"),
        (
            ["--model", "sd15"],
            "model 'sd15' is unknown. Known: FOLDER, MODULE:FUNCTION, OWNER/NAME on the hub, scenes.",
        ),
        (["--model", "no/such-model"], "model 'no/such-model' could not be loaded"),
        (["--queries", "0"], "queries must be at least 1; got 0."),
        (["--out", "full"], "out must be a new folder; full exists."),
        (["--out", "/proc/zo-dno"], "out must be a folder that can be written to"),
        (["--size", "big"], "size must be HEIGHTxWIDTH, such as 512x512; got 'big'."),
        (["--size", "13x13"], "cannot be called like this: `height` and `width` have to be divisible by 8"),
        (["--generator-option", "etta=1"], "StableDiffusionPipeline argument 'etta' is unknown. Did you mean 'eta'?"),
        (["--reward-option", "quality"], "--reward-option must be KEY=VALUE; got 'quality'."),
        (["--reward-option", "quality=best"], "jpeg_smaller option 'quality' does not fit"),
        (["--strategy-option", "sigmo=1"], "auto option 'sigmo' is unknown."),
        (["--reward", "my_rewards:cold"], "reward 'my_rewards:cold' could not be imported"),
        (["--held-out", "nothing"], "reward 'nothing' is unknown."),
        (["--init", "nowhere.safetensors"], "init must be a best.safetensors that a run wrote"),
        (["--min-log-prob", "7"], "min_log_prob must be"),
        (["--min-log-prob", "7%"], "7%"),
        (["--search", "some"], "search must be 'initial' or 'all'; got 'some'."),
        (["--baseline", "some"], "baseline must be"),
        (["--dtype", "float12"], "dtype must be the name of a torch type"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(zo, tiny, arguments, message):
    Path("full").mkdir()
    Path("full", "notes.txt").touch()
    out = [] if "--out" in arguments else ["--out", "here"]
    code, _, errors = zo("run", *tiny, *arguments, *out)
    assert code == 2, errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"promt": "a cat"}, "config key 'promt' is unknown. Did you mean 'prompt'?"),
        ({"queries": 8}, "prompt is missing"),
        ({"prompt": "a cat", "queries": "many"}, "queries must be"),
        ("just words", "must hold lines of `key: value`; got str."),
    ],
)
def test_a_config_file_with_a_mistake(zo, content, message):
    Path("config.yaml").write_text(yaml.safe_dump(content))
    code, _, errors = zo("run", "config.yaml", "--out", "here")
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("here").exists()


def test_a_config_file_that_is_not_there_or_not_yaml(zo):
    assert "could not be read" in zo("run", "nowhere.yaml")[2]
    Path("broken.yaml").write_text("a: [1")
    code, _, errors = zo("run", "broken.yaml")
    assert code == 2
    assert len(errors.strip().splitlines()) == 1


def test_a_run_in_which_nothing_was_scored_fails_and_keeps_its_folder(zo, tiny):
    code, _, errors = zo(
        "run", *tiny, "--reward", "my_rewards:broken", "--attempts", 1, "--breaker", 0, "--out", "here"
    )
    assert code == 1
    assert "None of 24 queries got a score." in errors
    assert "no route to the judge" in errors
    assert Path("here", "ledger.db").exists()
    assert Path("here", "config.yaml").exists()


def test_render_of_what_is_no_run(zo):
    code, _, errors = zo("render", "nowhere")
    assert code == 2
    assert "run must be the folder of a run; nowhere has no config.yaml." in errors
