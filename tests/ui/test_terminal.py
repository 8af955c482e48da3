"""Texts of others on the terminal: never markup, never control sequences, whatever the encoding."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zo_dno.errors import InputError
from zo_dno.run.config import validated
from zo_dno.ui.terminal import PrintableFormatter, Terminal, show_error

ROOT = Path(__file__).parents[2]
HOSTILE = "[/b] [cat] [red]x[/red] \x1b]52;c;cm0=\x07 \x1b[2J \u202e \N{CAT FACE}"
REWARD = f"""
import zo_dno

class Hostile(zo_dno.Reward):
    name, unit = "[/b][link=file:///x]", "[/i] of \\x1b[31m"

    def __call__(self, images, prompts):
        if len(prompts[0]) == 0:
            raise ValueError("empty")
        first = sum(images[0].resize((1, 1)).getpixel((0, 0)))
        if first % 3 == 0:
            raise RuntimeError({HOSTILE!r})
        return [float(first)] * len(images)

hostile = Hostile()

class HeldOut(Hostile):
    name = {HOSTILE!r}

    def __call__(self, images, prompts):
        raise RuntimeError({HOSTILE!r})

held_out = HeldOut()
"""


def harmless(text):
    return "\x1b" not in text and "\x07" not in text and "\u202e" not in text


def test_a_run_with_hostile_texts_is_carried_out_shown_and_resumed(zo, tiny):
    Path("their_rewards.py").write_text(REWARD)
    folder = "runs/[/b] x"
    words = [HOSTILE if word == "a cat" else word for word in tiny]
    said = [zo("run", *words, "--reward", "their_rewards:hostile", "--breaker", 0, "--out", folder)]
    said.append(zo("show", folder))
    said.append(zo("report", folder))
    said.append(zo("resume", folder, "--queries", 32))
    said.append(zo("render", folder, "--out", "[/b].png"))
    said.append(zo("export", folder, "rows.csv"))
    for code, output, errors in said:
        assert code == 0, output + errors
        assert harmless(output + errors)
    assert "[/b] [cat] [red]x[/red]" in " ".join(said[0][1].split())
    assert "RuntimeError: [/b] [cat]" in " ".join(said[0][1].split())


def test_a_mistake_with_a_hostile_text_is_one_harmless_line(zo):
    code, output, errors = zo("run", "--prompt", "sea at night", "--reward", HOSTILE)
    assert code == 2
    assert harmless(output + errors)
    assert "[/b]" in errors


def test_log_lines_with_hostile_texts_are_harmless(zo, tiny, monkeypatch):
    Path("their_rewards.py").write_text(REWARD)
    sys.modules.pop("their_rewards", None)
    words = (*tiny, "--reward", "brightness", "--held-out", "their_rewards:held_out", "--queries", 8)
    with monkeypatch.context() as patch:
        patch.setattr(logging.root, "handlers", [])  # pytest's, so that records come where a command's come
        code, output, errors = zo("run", *words, "--out", "here")
    assert code == 0, errors
    assert harmless(output + errors)
    assert "held-out reward [/b] [cat] [red]x[/red]  ]52;c;cm0=" in errors


def test_a_log_record_is_bounded_with_its_traceback():
    try:
        raise ValueError(HOSTILE * 100_000)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "run %s failed", (HOSTILE,), sys.exc_info())
    text = PrintableFormatter().format(record)
    assert text.startswith("run [/b] [cat]")
    assert "\nTraceback (most recent call last):\n" in text
    assert harmless(text)
    assert len(text) < 10_100


@pytest.mark.parametrize("part", ["plain [/b]", ("styled [/b]", "red")])
def test_strings_and_styled_parts_are_shown_as_they_are(part, capsys):
    terminal = Terminal(file=sys.stdout)
    terminal.show(part)
    terminal.print("[/i]")
    shown = capsys.readouterr().out
    assert "[/b]" in shown
    assert "[/i]" in shown


def test_a_terminal_that_lacks_the_characters_shows_their_numbers(tmp_path):
    """In a process of its own, whose encoding is fixed at its start."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    code = "from zo_dno.ui.terminal import *; accept_any_text(); console.show('a \N{CAT FACE}')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "a \\U0001f431"


CAT = "a \N{CAT FACE}"


def test_words_of_a_command_line_in_the_c_locale_are_utf8():
    as_python_reads_them = CAT.encode().decode("ascii", "surrogateescape")
    assert validated({"prompt": as_python_reads_them}).prompt == CAT


COMMANDS = """
import json, sys
from tests.support.command_line import exit_code
for words in json.loads(sys.argv[1]):
    assert exit_code(words) == 0, words
"""


@pytest.mark.slow
def test_commands_in_the_c_locale(stable_diffusion_folder, tmp_path):
    """Every file is UTF-8, and what the terminal's encoding lacks is shown by its number."""
    c_locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **c_locale, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    run = ["run", "--model", str(stable_diffusion_folder), "--prompt", CAT, "--steps", "2", "--queries", "8"]
    commands = [[*run, "--out", "here"], ["show", "here"], ["resume", "here", "--queries", "12"], ["report", "here"]]
    script = [sys.executable, "-c", COMMANDS, json.dumps(commands, ensure_ascii=False)]  # words as UTF-8
    done = subprocess.run(script, capture_output=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "\\U0001f431: finished" in done.stdout.decode("ascii")
    assert json.loads((tmp_path / "here" / "result.json").read_bytes())["prompt"] == CAT


def test_an_error_is_shown_at_a_bounded_length(capsys):
    show_error(InputError("reward must be shorter; got " + "[" * 90_000))
    shown = capsys.readouterr().err
    assert len(shown) < 11_000
    assert "90028 characters" in shown
