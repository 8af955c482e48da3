"""A folder that another user wrote runs no code unasked."""

import os
import stat
from pathlib import Path

import pytest
import yaml

import zo_dno
from tests.support.command_line import exit_code
from zo_dno.errors import InputError
from zo_dno.storage.signature import SIGNATURE, check_trusted, sign


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


CODE = [
    {"reward": "my_rewards:warm"},
    {"model": "my_models:paint"},
    {"strategy": "package.module:Class"},
    {"space": "spaces:Own"},
    {"held_out": ["brightness", "my_rewards:warm"]},
    {"reward": "command", "reward_options": {"command": "rm {image}"}},
    {"reward": "weighted_sum", "reward_options": {"parts": {"brightness": 1, "my_rewards:warm": 2}}},
    {"reward": "weighted_sum", "reward_options": {"parts": {"a": {"reward": "command"}}}},
    {"ray_env": {"working_dir": "."}},
]


@pytest.mark.parametrize("config", CODE)
def test_code_needs_a_signature_of_ones_own(tmp_path, config):
    for how in ({}, {"trust": False}):
        with pytest.raises(InputError, match=r"was not written by you on this machine, .* runs code: .* add --trust"):
            check_trusted(tmp_path, config, **{"trust": False, **how})
    check_trusted(tmp_path, config, trust=True)
    sign(tmp_path, config)
    check_trusted(tmp_path, config, trust=False)
    changed = {**config, "strategy": "os:system"}
    with pytest.raises(InputError, match="os:system"):
        check_trusted(tmp_path, changed, trust=False)


def test_another_user_cannot_sign(tmp_path, monkeypatch, state):
    sign(tmp_path, CODE[0])
    assert stat.S_IMODE((state / "zo-dno" / "key").stat().st_mode) == 0o600
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(InputError, match="was not written by you"):
        check_trusted(tmp_path, CODE[0], trust=False)
    (tmp_path / SIGNATURE).write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="was not written by you"):
        check_trusted(tmp_path, CODE[0], trust=False)


@pytest.mark.parametrize(
    "config",
    [{"reward": "jpeg_smaller", "strategy": "auto", "model": "scenes", "prompt": "a:b"}, {"reward": "http"}],
)
def test_what_runs_no_code_needs_none(tmp_path, config):
    check_trusted(tmp_path, config, trust=False)
    sign(tmp_path, config)
    assert not (tmp_path / SIGNATURE).exists()


def test_objects_that_the_caller_brings_need_none(tmp_path):
    check_trusted(tmp_path, CODE[0], trust=False, without=("reward",))
    check_trusted(tmp_path, CODE[5], trust=False, without=("reward",))
    with pytest.raises(InputError):
        check_trusted(tmp_path, CODE[0], trust=False, without=("model",))


def test_without_a_home_every_folder_is_a_strangers(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    sign(tmp_path, CODE[0])
    with pytest.raises(InputError):
        check_trusted(tmp_path, CODE[0], trust=False)


STRANGE = """
from pathlib import Path
Path("executed").touch()
from tests.support.toys import prompted as paint
def warm(images, prompts):
    return [0.0 for _ in images]
"""


def test_a_strangers_run_executes_nothing_unasked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("--model", "tests.support.toys:prompted", "--prompt", "sea", "--queries", 16, "--threads", 1)
    assert (
        exit_code(("run", *words, "--strategy-option", "population=8", "--reward", "brightness", "--out", "run")) == 0
    )
    Path("strange_module.py").write_text(STRANGE)
    path = Path("run", "config.yaml")
    for changes in (
        {"reward": "strange_module:warm"},
        {"model": "strange_module:paint"},
        {"strategy": "strange_module:X"},
    ):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
        for command in (("resume", "run"), ("show", "run"), ("report", "run"), ("render", "run")):
            capsys.readouterr()
            code = exit_code(command)
            if command[0] == "resume" or (command[0] == "render" and "model" in changes):
                assert code == 2
                assert "add --trust" in capsys.readouterr().err
            assert not os.path.exists("executed"), (changes, command)
    with pytest.raises(InputError, match="add --trust"):
        zo_dno.resume("run")
    exit_code(("resume", "run", "--trust"))
    assert Path("executed").exists()
