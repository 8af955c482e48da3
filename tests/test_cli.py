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

from zo_dno import cli

REWARD = """
import time

import numpy as np


def warm(images, prompts):
    return [float(np.asarray(image)[..., 0].mean()) - float(np.asarray(image)[..., 2].mean()) for image in images]


def slow(images, prompts):
    time.sleep(0.05)
    return warm(images, prompts)


def broken(images, prompts):
    raise ConnectionError("no route to the judge")
"""


@pytest.fixture
def zo(monkeypatch, capsys, stable_diffusion_folder, tmp_path):
    """Run the command line in this process, in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("my_rewards.py").write_text(REWARD)
    sys.modules.pop("my_rewards", None)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["zo-dno", *map(str, arguments)])
        threads = torch.get_num_threads()
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            torch.set_num_threads(threads)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def tiny(stable_diffusion_folder):
    return (
        *("--model", stable_diffusion_folder, "--prompt", "a cat", "--steps", 2, "--guidance", 1, "--threads", 1),
        *("--queries", 24, "--batch-size", 8),
    )


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


def test_another_process_gives_the_same_result(zo, tiny):
    assert zo("run", *tiny, "--out", "one")[0] == 0
    command = [sys.executable, "-m", "zo_dno.cli", "run", *map(str, tiny), "--out", "two"]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    one, two = (json.loads(Path(name, "result.json").read_text()) for name in ("one", "two"))
    del one["seconds"], two["seconds"]
    assert one == two


def test_ctrl_c_in_a_real_process_keeps_everything(zo, tiny):
    options = ("--reward", "my_rewards:slow", "--queries", 10_000, "--out", "here")
    command = [sys.executable, "-m", "zo_dno.cli", "run", *map(str, (*tiny, *options))]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 60
    while rows(Path("here", "ledger.db")) < 16 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    result = json.loads(Path("here", "result.json").read_text())
    assert result["status"] == "interrupted"
    assert result["queries"] == rows(Path("here", "ledger.db")) >= 16
    assert Path("here", "best.png").exists()
    assert "Traceback" not in output


def rows(ledger):
    if not ledger.exists():
        return 0
    with sqlite3.connect(ledger, timeout=10) as connection:
        try:
            return connection.execute("SELECT count(*) FROM query").fetchone()[0]
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


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
        (["--model", "sd15"], "model 'sd15' is unknown. Known: FOLDER, OWNER/NAME on the hub, scenes."),
        (["--model", "no/such-model"], "model 'no/such-model' could not be loaded"),
        (["--queries", "0"], "queries must be greater than or equal to 1; got 0."),
        (["--out", "full"], "out must be a new folder; full exists."),
        (["--out", "/proc/zo-dno"], "out must be a folder that can be written to"),
        (["--size", "big"], "size must be HEIGHTxWIDTH, such as 512x512; got 'big'."),
        (["--size", "13x13"], "cannot be called like this: `height` and `width` have to be divisible by 8"),
        (["--generator-option", "etta=1"], "StableDiffusionPipeline argument 'etta' is unknown. Did you mean 'eta'?"),
        (["--reward-option", "quality"], "--reward-option must be KEY=VALUE; got 'quality'."),
        (["--reward-option", "quality=best"], "jpeg_smaller option 'quality' does not fit"),
        (["--strategy-option", "sigmo=1"], "snes option 'sigmo' is unknown."),
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
