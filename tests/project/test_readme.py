"""The README's code blocks do what they say: Python as it stands, commands as they stand but for smaller figures."""

import inspect
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.clocks import PATIENCE
from tests.support.command_line import exit_code
from tests.support.toys import ToyGenerator
from tests.support.weight_files import configs_of, lora_file, single_file
from zo_dno.rewards import REWARDS as BUILT_IN
from zo_dno.run.config import validated
from zo_dno.run.make_reward import make_reward, requiring
from zo_dno.ui.cli import main as cli
from zo_dno.ui.cli.run import _with_file as with_file

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SMALLER = {"--queries": "4", "--steps": "1", "--workers": "1", "--generators": "1", "--gpus-per-generator": "0"}
"""What a command's own figures become; queries and steps also where it names none."""

REWARDS = """
import time
import numpy as np

def warm(images, prompts):
    return [float(np.asarray(image)[..., 0].mean()) for image in images]

def slow(images, prompts):
    time.sleep(0.05)
    return warm(images, prompts)

score = slow
"""


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line for block in blocks(README, "sh") for line in block.splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines if not line.startswith("#")]


def smaller(words):
    """Return a command with small figures."""
    made = list(words)
    for place, word in enumerate(made[:-1]):
        if word in SMALLER:
            made[place + 1] = SMALLER[word]
        if word == "--ray":
            made[place + 1] = "local"
    if words[1] == "run":
        made += [word for name in ("--queries", "--steps") if name not in words for word in (name, SMALLER[name])]
    if words[1] == "compare":
        made += ["--at-once", "1"]
    return made[1:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    for name in ("my_rewards.py", "my_api.py"):
        (folder / name).write_text(REWARDS)
    (folder / "prompts.txt").write_text("sea at dusk\nsea at night\n")
    plan = {"strategies": ["snes"], "prompts": ["sea at dusk"], "seeds": 1, "queries": 8, "steps": 1}
    (folder / "comparison.yaml").write_text(json.dumps(plan))
    return folder


def test_python_blocks_run_with_a_toy_model(tmp_path, monkeypatch):
    """The fast twin of the next: the same names and options, with few queries and a held-out reward of pixels."""
    optimize, builtin = zo_dno.optimize, inspect.signature(zo_dno.DiffusersGenerator.builtin)

    def few(generator, reward, **options):
        assert set(options.get("held_out", ())) <= set(BUILT_IN)
        return optimize(generator, reward, **{**options, "queries": 32, "held_out": ["brightness"], "threads": 1})

    def toy(**options):
        builtin.bind(**options)
        return ToyGenerator(prompt=options["prompt"])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zo_dno, "optimize", few)
    monkeypatch.setattr(zo_dno.DiffusersGenerator, "builtin", toy)
    names = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert Path("best.png").exists()
    assert few(names["generator"], names["warm"]).best.reward > 0
    options = re.findall(r"(\w+)=", "".join(re.findall(r"`DiffusersGenerator[.\w]*\([^`]*`|`search=[^`]*`", README)))
    assert len(options) == 4
    known = inspect.signature(zo_dno.DiffusersGenerator).parameters.keys()
    assert set(options) <= known | inspect.signature(zo_dno.DiffusersGenerator.from_pretrained).parameters.keys()


def test_commands_have_options_and_rewards_that_there_are(folder, monkeypatch):
    """The fast twin of `test_commands_run_in_their_order`: each is read as the command line reads it, and not run."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for name in ("my_rewards", "my_api"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    group, read = get_command(cli.app), 0
    for words in commands():
        if words[0] in ("make", "pip", "source"):
            continue
        with group.commands[words[1]].make_context(words[1], words[2:]) as context:
            shown = ("quiet", "verbose", "as_json")
            params = context.params.items()
            given = {name: value for name, value in params if value not in (None, [], ()) and name not in shown}
        if words[1] == "run":
            rest = {name: given.pop(name, None) for name in ("config", "out", "prompts", "at_once", "draft")}
            needed = {"prompt": "sea"} if rest["config"] or rest["prompts"] else {}
            config = validated({**with_file(None, given), **needed})
            requiring(make_reward(config.reward, config.reward_options), config.require)
        if words[1] == "serve-reward":
            make_reward(given["reward"])
        read += 1
    assert read >= 15


@pytest.mark.slow
def test_python_blocks_run_as_they_stand(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["result"].best.reward > names["result"].first.reward
    assert (folder / "best.png").exists()
    shorter = zo_dno.optimize(names["generator"].with_settings("sea", steps=2), names["warm"], queries=8)
    assert shorter.best.reward >= shorter.first.reward


def waits_for(process, text):
    """Read what a process prints until a text is there."""
    said, ends = "", time.monotonic() + PATIENCE
    while text not in said and time.monotonic() < ends and process.poll() is None:
        said += process.stdout.readline()
    assert text in said, said
    return said


def begun(words, folder, text):
    process = subprocess.Popen(
        [sys.executable, "-m", "zo_dno", *smaller(words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    waits_for(process, text)
    return process


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


def ended(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)


@pytest.mark.slow
@pytest.mark.ray
def test_commands_run_in_their_order(folder, stable_diffusion_folder, loaded_stable_diffusion, monkeypatch, capsys):
    """Those that wait for people or serve are ended once they do; the judge is a stand-in."""
    import ray

    said = {"explanation": "It is a sea.", "score": 7}
    choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(said)}, "finish_reason": "stop"}
    judge = Answer(json.dumps({"choices": [choice]}).encode(), headers={"Content-Type": "application/json"})
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    single_file(loaded_stable_diffusion, folder / "dreamy.safetensors")
    configs_of(stable_diffusion_folder, folder / "sd15-config")
    lora_file(loaded_stable_diffusion.unet, folder / "ink.safetensors")
    ray.shutdown()  # the cluster that other tests share knows nothing of this folder
    serving, ran = [], 0
    with answering(lambda asked: judge) as (address, _):
        for number, words in enumerate(commands()):
            if words[0] == "make":
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
                continue
            if words[0] in ("pip", "source"):  # which test_package.py is about
                continue
            assert words[0] == "zo-dno"
            if "server=ollama" in words:  # its address here
                words += ["--reward-option", f"url={address}/v1"]
            words = [f"{address}/v1" if word == "ollama" else word for word in words]
            if words[1] == "run" and "--out" not in words:
                words += ["--out", f"runs/{number}"]
            if "human" in words or words[1] == "watch":
                ended(begun(words, folder, "http://"))
            elif words[1] == "serve-reward":
                serving.append(begun(words, folder, "http://"))
            else:
                assert exit_code(smaller(words)) == 0, (words, capsys.readouterr())
            ran += 1
    for process in serving:
        ended(process)
    assert ran >= 15
    assert (folder / "queries.parquet").exists()
    assert (folder / "runs" / "comparison" / "report.html").exists()
    with socket.socket() as free:  # the served reward is gone
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", 8011))


def test_what_the_page_on_adding_shows_works(tmp_path, monkeypatch, toy):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks((ROOT / "docs" / "adding.md").read_text(), "python"):
        exec(compile(block, "adding.md", "exec"), names)
    result = zo_dno.optimize(toy, names["warm"], names["Follow"], queries=48, threads=1, strategy_options={"step": 0.3})
    assert result.unit == "grey levels"
    assert result.best.reward > result.first.reward
    names["test_follow"]()
    names["test_channel"]()
    blue = zo_dno.optimize(toy, names["Channel"](which=2), queries=16, threads=1)
    assert blue.reward == "channel"
