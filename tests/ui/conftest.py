"""The command line in this process."""

import sys
from pathlib import Path

import pytest

from tests.support.command_line import exit_code

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
def zo(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("my_rewards.py").write_text(REWARD)
    sys.modules.pop("my_rewards", None)

    def call(*arguments):
        return exit_code(arguments), *capsys.readouterr()

    return call


@pytest.fixture
def tiny(stable_diffusion_folder):
    return (
        *("--model", stable_diffusion_folder, "--prompt", "a cat", "--steps", 2, "--guidance", 1, "--threads", 1),
        *("--queries", 24, "--batch-size", 8),
    )


@pytest.fixture
def toy_words():
    """Options of a model that takes microseconds, and loads no diffusers."""
    return ("--model", "tests.support.toys:prompted", "--prompt", "a cat", "--threads", 1, "--batch-size", 8)


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
