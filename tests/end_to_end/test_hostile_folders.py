"""Damaged and hostile folders of runs: one clear line each, nothing executed, and nothing of another file shown."""

import base64
import json
import os
import shutil
import sqlite3
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.command_line import exit_code

FILES = (
    *("config.yaml", "result.json", "ledger.db", "best.safetensors", "strategy.safetensors"),
    *("first.png", "best.png", "strip.png", "progress.png"),
)
COMMANDS = (
    ("show", "run"),
    ("report", "run", "--out", "report.html"),
    ("export", "run", "table.csv"),
    ("render", "run", "--out", "rendered"),
    ("resume", "run"),
)
SECRET = "a line that only the secret file holds"


def missing(path, folder):
    path.unlink()


def empty(path, folder):
    path.write_bytes(b"")


def cut(path, folder):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def noise(path, folder):
    path.write_bytes(bytes((7 * i * i + 3 * i) % 256 for i in range(3000)))


def flipped(path, folder):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x55
    path.write_bytes(content)


def linked(path, folder):
    path.unlink()
    path.symlink_to(folder / "secret.txt")


def piped(path, folder):
    path.unlink()
    os.mkfifo(path)


def foldered(path, folder):
    path.unlink()
    path.mkdir()


DAMAGES = [
    pytest.param(lambda folder, name=name, how=how: how(folder / "run" / name, folder), id=f"{name}-{how.__name__}")
    for name in FILES
    for how in (missing, empty, cut, noise, flipped, linked, piped, foldered)
]


def result_with(folder, key, value):
    path = folder / "run" / "result.json"
    content = json.loads(path.read_text())
    if value is missing:
        del content[key]
    else:
        content[key] = value
    path.write_text(json.dumps(content))


def config_with(folder, **values):
    path = folder / "run" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | values))


def ledger_with(folder, sql):
    with sqlite3.connect(folder / "run" / "ledger.db") as connection:
        connection.execute(sql)
    connection.close()


KEYS = ("status", "seed", "queries", "first", "best", "top", "held_out", "baseline", "seconds", "prompt", "cost")
VALUES: tuple[Any, ...] = (missing, None, "<script>alert(1)</script>", -1, 1e300, [], {}, [[[]]])
DAMAGES += [
    pytest.param(lambda folder, key=key, value=value: result_with(folder, key, value), id=f"result-{key}-{place}")
    for key in KEYS
    for place, value in enumerate(VALUES)
]
OPTIONS = (
    "threads",
    "queries",
    "seed",
    "strategy",
    "strategy_options",
    "reward",
    "model",
    "policy",
    "batch_size",
    "init",
)
DAMAGES += [
    pytest.param(lambda folder, key=key, value=value: config_with(folder, **{key: value}), id=f"config-{key}-{place}")
    for key in OPTIONS
    for place, value in enumerate(("x", -1, [], {"a": {"b": 1}}, "os:system", "[/b]\x1b]52;c;aGk=\a"))
]
DEEP = "[" * 90_000  # JSON
JSON = [
    pytest.param(lambda folder, values=values: config_with(folder, **values), id=f"json-{place}")
    for place, values in enumerate(
        (
            {"reward": "min", "reward_options": {"parts": DEEP}},
            {"reward": "min", "reward_options": {"parts": [{"reward": DEEP}]}},
            {"reward": "min", "reward_options": {"parts": ["brightness"], "scales": DEEP}},
            {"reward": "http", "reward_options": {"url": "http://127.0.0.1:1/", "request": DEEP}},
            {"reward": "vlm", "reward_options": {"url": "http://127.0.0.1:1/", "model": "m", "extra": DEEP}},
            {"require": DEEP},
            {"strategy_options": {"population": DEEP}},
        )
    )
]
DAMAGES += JSON
COLUMNS = ("value", "image", "log_prob", "told", "told_seq", "status", "population", "cost", "parts", "error")
DAMAGES += [
    pytest.param(
        lambda folder, column=column, value=value: ledger_with(folder, f"UPDATE query SET {column} = {value}"),
        id=f"ledger-{column}-{place}",
    )
    for column in COLUMNS
    for place, value in enumerate(("'x'", "NULL", "X'00ff'", "1e300", "'../../secret'"))
]
DAMAGES += [
    pytest.param(lambda folder, sql=sql: ledger_with(folder, sql), id=f"ledger-{place}")
    for place, sql in enumerate(
        (
            "DROP TABLE population",
            "DROP TABLE run",
            "DELETE FROM run",
            "DELETE FROM query",
            "DELETE FROM population",
            "UPDATE run SET value = '{'",
            "UPDATE run SET value = '[]'",
            "UPDATE run SET value = 'null'",
            "UPDATE population SET size = 1000000000",
            "UPDATE population SET first_id = -5",
            "UPDATE population SET noise = 'x'",
            "UPDATE artefact SET path = '../' || path",
            "PRAGMA user_version = 999",
            "PRAGMA user_version = 0",
        )
    )
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A paid run of a model and a reward of its own folder."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "secret.txt").write_text(SECRET)
    here = Path.cwd()
    os.chdir(folder)
    try:
        words = ("--model", "tests.support.toys:prompted", "--prompt", "sea", "--reward", "brightness", "--threads", 1)
        words += ("--queries", 16, "--strategy-option", "population=8", "--price", 0.01, "--seed", 3, "--top", 2)
        assert exit_code(("run", *words, "--out", "run")) == 0
    finally:
        os.chdir(here)
    return folder


def check(whole, damage, tmp_path, monkeypatch, capsys, commands=COMMANDS):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "10000")
    damage(tmp_path)
    capsys.readouterr()
    for words in commands:
        code = exit_code(words)
        output, errors = capsys.readouterr()
        assert code in (0, 1, 2), (words, output, errors)
        if code:
            said = [line for line in errors.splitlines() if line.startswith("Error: ")]
            assert len(said) == 1, (words, output, errors)
            assert len(said[0]) < 1000
        assert "Traceback" not in output + errors
        assert "\x1b]52" not in output + errors
        report = Path("report.html")
        if report.exists():
            page = report.read_text(encoding="utf-8")
            assert SECRET not in page
            assert base64.b64encode(SECRET.encode()).decode()[:30] not in page
            assert "<script>alert" not in page
            report.unlink()


@pytest.mark.parametrize("damage", [*DAMAGES[::40], *JSON[:1]])
def test_some_damaged_folders(whole, damage, tmp_path, monkeypatch, capsys):
    check(whole, damage, tmp_path, monkeypatch, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folders(whole, damage, request, tmp_path, monkeypatch, capsys):
    """By the command that would change the run, and by one of those that read it, which its name chooses."""
    reading = COMMANDS[zlib.crc32(request.node.name.encode()) % (len(COMMANDS) - 1)]
    check(whole, damage, tmp_path, monkeypatch, capsys, (reading, COMMANDS[-1]))


def test_there_are_enough():
    assert len(DAMAGES) >= 200
