"""A folder that another user wrote runs no code unasked."""

import ast
import json
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
    {"cluster": {"ray_env": {"working_dir": "."}}},
    {"require": ["brightness >= 0.5", "my_rewards:warm >= 0.5"]},
    {"reward": "constrained", "reward_options": {"reward": "brightness", "require": "my_rewards:warm>=0.5"}},
    {"reward": "weighted_sum", "reward_options": {"parts": '{"brightness": 1, "my_rewards:warm": 2}'}},
    {"reward": "\N{LATIN SMALL LETTER E WITH ACUTE}tude:warm"},
    {"diverse": 4, "apart": "my_distances:far"},
    {"measures": ["brightness", "my_measures:busy=0..1"]},
]
SERVER = {"url": "https://evil.example", "key_env": "OPENAI_API_KEY"}
SENT = r"send \$OPENAI_API_KEY to https://evil\.example"
CONTACTS = [
    ({"reward": "http", "reward_options": SERVER}, SENT),
    ({"reward": "min", "reward_options": {"parts": {"a": {"reward": "vlm", "options": SERVER}}}}, SENT),
    ({"reward": "min", "reward_options": {"parts": json.dumps([{"reward": "vlm", "options": SERVER}])}}, SENT),
    ({"ray": "evil.example:6379", "workers": 1}, r"join the Ray cluster at evil\.example:6379"),
    ({"cluster": {"ray": "ray://evil.example:1"}}, r"join the Ray cluster at ray://evil\.example:1"),
]


@pytest.mark.parametrize("config", CODE)
def test_code_needs_a_signature_of_ones_own(tmp_path, config):
    for how in ({}, {"trust": False}):
        with pytest.raises(InputError, match=r"was not written by you on this machine, .* run code: .* add --trust"):
            check_trusted(tmp_path, config, **{"trust": False, **how})
    check_trusted(tmp_path, config, trust=True)
    sign(tmp_path, config)
    check_trusted(tmp_path, config, trust=False)
    changed = {**config, "strategy": "os:system"}
    with pytest.raises(InputError, match="os:system"):
        check_trusted(tmp_path, changed, trust=False)


@pytest.mark.parametrize(("config", "harm"), CONTACTS)
def test_a_secret_is_sent_and_a_cluster_joined_for_ones_own_folders_alone(tmp_path, config, harm):
    said = rf"was not written by you on this machine, and to resume or render it would {harm}\. Look .* add --trust"
    with pytest.raises(InputError, match=said):
        check_trusted(tmp_path, config, trust=False)
    check_trusted(tmp_path, config, trust=True)
    sign(tmp_path, config)
    check_trusted(tmp_path, config, trust=False)
    with pytest.raises(InputError, match=r"elsewhere\.example"):
        check_trusted(tmp_path, ast.literal_eval(repr(config).replace("evil", "elsewhere")), trust=False)


def deep_json(inner, texts=10, lists=90):
    """JSON in JSON, nested deeper in all than one call of Python inside another can go."""
    for _ in range(texts):
        inner = "[" * lists + json.dumps(inner) + "]" * lists
    return inner


def test_what_is_hidden_deep_in_json_is_found_and_too_deep_json_is_plain_text(tmp_path):
    options = {"a": "[" * 90_000, "b": deep_json("my_rewards:warm"), "c": deep_json("sea")}
    with pytest.raises(InputError, match=r"run code: my_rewards:warm\. Look"):
        check_trusted(tmp_path, {"reward_options": options}, trust=False)


def test_every_harm_is_named_however_long_another_one_is(tmp_path):
    config = {"reward": f"my_rewards:{'warm' * 999}", "ray": "far:6379", "reward_options": SERVER}
    with pytest.raises(InputError, match=r"run code: my_rewards:warm.*; send \$OPENAI.*; join .* at far:6379\. Look"):
        check_trusted(tmp_path, config, trust=False)


def test_what_was_signed_before_secrets_and_clusters_counted_stays_signed(tmp_path, state):
    """And is a stranger's where it has one of these."""
    config = {"reward": "command", "reward_options": {"command": "judge {image}"}, "model": "my_models:paint"}
    config["ray"] = "local"
    (state / "zo-dno").mkdir(parents=True)
    (state / "zo-dno" / "key").write_bytes(bytes(32))
    signed = "8c9b2524151f8e1873026189f6bb99efec6f1fe49f263c3e9643fb3a9bb7430d"
    (tmp_path / SIGNATURE).write_text(signed + "\n")
    check_trusted(tmp_path, config, trust=False)
    with pytest.raises(InputError, match="join the Ray cluster at far:6379"):
        check_trusted(tmp_path, {**config, "ray": "far:6379"}, trust=False)
    check_trusted(tmp_path, {**config, "ray": "far:6379"}, trust=False, without=("ray", "reward", "model"))


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
    [
        {"reward": "jpeg_smaller", "strategy": "auto", "model": "scenes-64", "prompt": "a:b", "ray": "auto"},
        {"reward": "http", "reward_options": {"url": "https://example.org", "key_env": ""}, "ray": "local"},
        {"require": ["brightness >= 0.5"], "ray": None},
    ],
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
