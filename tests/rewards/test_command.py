"""What a program on this machine says."""

import asyncio
import hashlib
import os
import shlex
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.command_line import handlers_kept
from tests.support.pixels import plain
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, RunError
from zo_dno.failures import CallError
from zo_dno.oracle.ctrl_c import take_as_ctrl_c
from zo_dno.oracle.executor import Executor
from zo_dno.oracle.oracle import Oracle
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import image_hash
from zo_dno.testing.reward_laws import pictures
from zo_dno.types import Query

PROGRAM = """
import sys
from PIL import Image, ImageStat
print("looking at", sys.argv[1], file=sys.stderr)
print("brightness")
print(sum(ImageStat.Stat(Image.open(sys.argv[1])).mean) / 3 / 255)
"""
CLUMSY = """import os, sys
print("looking for a face", file=sys.stderr)
print("no face found\\n", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
PROMPTS = [
    "a $(touch bad) `touch bad` ; touch bad",
    "; rm -rf *",
    'it\'s "quoted" \\ and | piped > bad & # *',
    "{image} {prompt} {0} %s",
    "two\nlines\ttabbed  spaced ",
    "märchenhaft, 夜の海",
    "--help",
    "",
]


def script(path: Path, text: str, *arguments: str) -> str:
    path.write_text(text)
    return shlex.join([sys.executable, str(path), *arguments])


def asked(reward, images=(), prompts=None):
    images = images or pictures(1)
    return asyncio.run(reward(images, prompts or ["a picture"] * len(images)))


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pids) -> bool:
    due = time.monotonic() + PATIENCE
    while any(map(alive, pids)) and time.monotonic() < due:
        time.sleep(0.02)
    return not any(map(alive, pids))


def pids_in(path: Path, n: int) -> list[int]:
    due = time.monotonic() + PATIENCE
    while (not path.exists() or len(path.read_text().split()) < n) and time.monotonic() < due:
        time.sleep(0.02)
    return [int(pid) for pid in path.read_text().split()]


class TestCommand:
    def test_the_last_line_of_a_program_is_the_score(self, tmp_path):
        reward = make_reward(
            "command", {"command": script(tmp_path / "bright.py", PROGRAM, "{image}"), "unit": "of white"}
        )
        scores = asked(reward, [plain("black"), plain("white")])
        assert [one.value for one in scores] == [0, 1]
        assert reward.unit == "of white"
        assert reward.policy == CallPolicy(in_flight=2, timeout=60)

    @pytest.mark.parametrize("folder", ["with spaces & 'quotes'", "${HOME}; rm -rf *"])
    def test_paths_may_hold_anything(self, tmp_path, monkeypatch, folder):
        (home := tmp_path / folder).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(home))
        text = "import sys, PIL.Image\nPIL.Image.open(sys.argv[1].removeprefix('in='))\nprint(len(sys.argv))\n"
        command = script(home / "a script.py", text, "in={image}")
        assert asked(make_reward("command", {"command": command}))[0].value == 2
        assert [path.name for path in home.iterdir()] == ["a script.py"]

    @pytest.mark.parametrize("prompt", PROMPTS)
    def test_a_prompt_is_one_argument_whatever_it_holds(self, tmp_path, monkeypatch, prompt):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "keep").touch()
        text = "import sys\nopen('seen', 'w', encoding='utf-8').write('\\0'.join(sys.argv[1:]))\nprint(1)\n"
        command = script(tmp_path / "see.py", text, "{prompt}", "--prompt={prompt}", "{image}", "{other}")
        assert asked(make_reward("command", {"command": command}), prompts=[prompt])[0].value == 1
        first, second, path, other = Path("seen").read_bytes().decode().split("\0")
        assert (first, second, other) == (prompt, f"--prompt={prompt}", "{other}")
        assert path.endswith("/image.png")
        assert not Path(path).exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["keep", "see.py", "seen"]

    def test_the_image_is_private_and_exact(self, tmp_path):
        text = (
            "import os, sys, hashlib, PIL.Image\npath = sys.argv[1]\n"
            "assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0\n"
            "print(int(hashlib.sha256(PIL.Image.open(path).tobytes()).hexdigest()[:8], 16))\n"
        )
        (image,) = pictures(1)
        expected = int(hashlib.sha256(image.tobytes()).hexdigest()[:8], 16)
        (found,) = asked(make_reward("command", {"command": script(tmp_path / "hash.py", text, "{image}")}), [image])
        assert found.value == expected

    @pytest.mark.parametrize(
        ("text", "value"),
        [("12", 12), ("  -1.5e3 \n\n \n", -1500), ("one\n2\n3", 3), ("1\r\n0.5\r\n", 0.5), ("x" * 10**6 + "\n7", 7)],
        ids=["alone", "before blank lines", "last of three", "carriage returns", "after a long line"],
    )
    def test_a_number_in_the_last_line(self, tmp_path, text, value):
        (tmp_path / "out").write_text(text, newline="")
        (found,) = asked(make_reward("command", {"command": f"sh -c 'cat {tmp_path}/out' {{image}}"}))
        assert found.value == value

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0.5\nall done", "the last line must be a number; got 'all done'"),
            ("score: 0.5", "the last line must be a number; got 'score: 0.5'"),
            ("", "the last line must be a number; got no output"),
            ("\n \n", "the last line must be a number; got no output"),
            ("x" * 1000, "the last line must be a number; got '" + "x" * 200 + "'"),
        ],
    )
    def test_what_is_no_number_is_missing(self, tmp_path, text, message):
        (tmp_path / "out").write_text(text)
        (found,) = asked(make_reward("command", {"command": f"sh -c 'cat {tmp_path}/out' {{image}}"}))
        assert found.missing
        assert (found.kind, found.error) == ("not a number", message)

    @pytest.mark.parametrize(("code", "transient"), [(1, False), (3, False), (75, True)])
    def test_a_program_that_fails_says_why(self, tmp_path, code, transient):
        command = script(tmp_path / "fail.py", CLUMSY, str(code), "{image}")
        with pytest.raises(CallError, match=f"exit {code}: no face found") as raised:
            asked(make_reward("command", {"command": command}))
        failure = raised.value.failure
        assert (failure.kind, failure.transient, failure.billed) == (f"exit {code}", transient, True)

    def test_a_program_that_dies_says_by_which_signal(self):
        with pytest.raises(CallError, match="killed by signal 9"):
            asked(make_reward("command", {"command": "sh -c 'kill -9 $$' {image}"}))

    def test_a_program_has_no_input_to_wait_for(self):
        (found,) = asked(make_reward("command", {"command": "sh -c 'wc -c; : {image}'"}))
        assert found.value == 0

    def test_a_program_that_hangs_is_killed_with_what_it_started(self, tmp_path, monkeypatch, clock):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        pids = tmp_path / "pids"
        command = f"sh -c 'sleep 600 & echo $$ $! > {pids}; trap \"\" TERM; wait; sleep 600' {{image}}"
        oracle = Oracle(make_reward("command", {"command": command}), CallPolicy(timeout=PATIENCE, attempts=1))
        image = np.zeros((4, 4, 3), np.uint8)
        clock.advance_after(PATIENCE, lambda: pids_in(pids, 2))
        (answer,) = oracle.ask([Query(0, image, image_hash(image), "")])
        oracle.close()
        assert (answer.score.kind, answer.score.error) == ("timeout", f"no response within {PATIENCE:g} s")
        assert len(found := pids_in(pids, 2)) == 2
        assert ended(found)
        assert list(tmp_path.iterdir()) == [pids]

    @pytest.mark.parametrize("signals", [1, 2])
    def test_sigterm_waits_for_programs_and_a_second_one_kills_them(self, tmp_path, monkeypatch, toy, signals):
        """The slow twin is tests/ui/test_signals.py."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        pids, finish, interrupt, noticed = tmp_path / "pids", tmp_path / "finish", Executor.interrupt, threading.Event()
        waits = f"echo $$ >> {pids}; until [ -e {finish} ]; do sleep 0.05; done; echo 1"
        options = {"command": shlex.join(["sh", "-c", waits, "{image}"])}
        monkeypatch.setattr(Executor, "interrupt", lambda executor: (interrupt(executor), noticed.set()))

        def end():
            pids_in(pids, 2)
            os.kill(os.getpid(), signal.SIGTERM)
            noticed.wait(PATIENCE)
            if signals == 1:
                finish.touch()
            else:
                os.kill(os.getpid(), signal.SIGTERM)

        with handlers_kept():
            take_as_ctrl_c()
            threading.Thread(target=end).start()
            search = partial(zo_dno.optimize, toy, "command", queries=8, reward_options=options, threads=1)
            if signals == 1:
                assert (found := search()).status == "interrupted"
                assert [row.value for row in found.history] == [1, 1]
            else:
                with pytest.raises(RunError, match="ended before its first query was completed"):
                    search()
        assert len(found := pids_in(pids, 2)) == 2
        assert ended(found)
        assert not list(tmp_path.glob("zo-dno-*"))

    def test_giving_up_kills_it_even_when_its_output_is_held_open(self, tmp_path):
        pids = tmp_path / "pids"
        away = "import os, sys, time\nos.setsid()\nopen(sys.argv[1], 'a').write(f'{os.getpid()} ')\ntime.sleep(600)\n"
        (tmp_path / "away.py").write_text(away)
        inner = f"echo $$ >> {pids}; {sys.executable} {tmp_path}/away.py {pids} & wait"
        reward = make_reward("command", {"command": shlex.join(["sh", "-c", inner, "{image}"])})

        async def give_up():
            task = asyncio.create_task(reward(pictures(1), [""]))
            await asyncio.to_thread(pids_in, pids, 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(give_up())
        program, escaped = pids_in(pids, 2)
        try:
            assert ended([program])
            assert alive(escaped)  # it holds the output open
        finally:
            os.kill(escaped, 9)

    def test_what_a_program_leaves_behind_may_hold_its_output_open(self, tmp_path):
        pids = tmp_path / "pids"
        command = f"sh -c 'sleep 600 & echo $! > {pids}; echo 4' {{image}}"
        (found,) = asked(make_reward("command", {"command": command}))
        assert found.value == 4
        assert alive(*pids_in(pids, 1))
        os.kill(*pids_in(pids, 1), 9)

    def test_two_run_at_once(self, tmp_path):
        """Each program waits until two have started."""
        log = tmp_path / "log"
        two = f"until [ $(grep -c ^1 {log}) -ge 2 ]; do sleep 0.01; done"
        reward = make_reward(
            "command", {"command": f"sh -c 'echo 1 >> {log}; {two}; echo -1 >> {log}; echo 1' {{image}}"}
        )
        oracle = Oracle(reward)
        images = [np.full((4, 4, 3), level, np.uint8) for level in range(4)]
        answers = oracle.ask([Query(i, one, image_hash(one), "") for i, one in enumerate(images)])
        oracle.close()
        assert [answer.score.value for answer in answers] == [1] * 4
        assert max(np.cumsum([*map(int, log.read_text().split())])) == 2

    def test_it_is_known_by_the_content_of_its_files(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("score.sh").write_text("#!/bin/sh\necho 1\n")
        Path("score.sh").chmod(0o755)
        Path("weights").write_text("w1")
        identities = [make_reward("command", {"command": "./score.sh weights {image}"}).identity]
        assert identities[0]["files"]["weights"] == hashlib.sha256(b"w1").hexdigest()
        Path("weights").write_text("w2")
        identities.append(make_reward("command", {"command": "./score.sh weights {image}"}).identity)
        Path("score.sh").write_text("#!/bin/sh\necho 2\n")
        identities.append(make_reward("command", {"command": "./score.sh weights {image}"}).identity)
        identities.append(make_reward("command", {"command": "./score.sh weights {image}", "version": "2"}).identity)
        assert len(set(map(str, identities))) == 4
        assert make_reward("command", {"command": "./score.sh weights {image}"}).identity == identities[2]
        assert set(make_reward("command", {"command": "sh -c 'echo 1' {image}"}).identity["files"]) == {"sh"}

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("sh -c 'echo 1'", "command must name {image}; got \"sh -c 'echo 1'\". A PNG"),
            ("", "command must name {image}; got ''."),
            ("sh -c 'judge {image} {prompt}'", "command must not put {prompt} into a shell's script"),
            ("/bin/bash -xec 'judge {image} \"{prompt}\"' x", "command must not put {prompt} into a shell's script"),
            ("env A=1 sh -e -c 'judge {image} {prompt}'", "command must not put {prompt} into a shell's script"),
            ("no-such-program {image}", "command must begin with a program; got 'no-such-program'. It is not on"),
            (
                "./notes.txt {image}",
                "command must begin with a program; got './notes.txt'. It is not on the PATH, or not",
            ),
            ("sh 'echo {image}", 'command must close its quotes; got "sh \'echo {image}": No closing quotation.'),
        ],
    )
    def test_what_cannot_be_run_is_refused(self, tmp_path, monkeypatch, command, message):
        monkeypatch.chdir(tmp_path)
        Path("notes.txt").write_text("notes")
        with pytest.raises(InputError) as raised:
            make_reward("command", {"command": command})
        assert message in str(raised.value)

    def test_a_file_that_cannot_be_read_is_refused(self, monkeypatch):
        def locked(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("hashlib.file_digest", locked)
        with pytest.raises(InputError, match="command must name files that can be read; got .*sh': Permission denied."):
            make_reward("command", {"command": "sh -c 'echo 1' {image}"})
