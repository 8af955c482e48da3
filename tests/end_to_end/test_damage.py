"""Run folders that are damaged, incomplete, in use, full or not to be written to."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from tests.storage.test_ledger import first_version
from tests.support.command_line import exit_code
from tests.support.resuming import PAID, content, edit, resume, run, settled
from zo_dno.errors import InputError
from zo_dno.results.overview import overview
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.run_folder import RunFolder


def test_an_image_that_is_gone_is_drawn_again(tmp_path, caplog):
    run(tmp_path / "run", policy=PAID)
    before = content(tmp_path / "run")
    best = tmp_path / "run" / "images" / f"{before[0]['best']['image']}.png"
    best.unlink()
    assert overview(tmp_path / "run").lost_files == [f"images/{best.name}"]
    resume(tmp_path / "run")
    assert "was gone or damaged; it was rendered again" in caplog.text
    assert content(tmp_path / "run") == before
    assert best.exists()


def test_two_processes_on_one_folder(tmp_path):
    run(tmp_path / "run", queries=24)
    with (
        RunFolder(tmp_path / "run", new=False),
        pytest.raises(InputError, match=rf"is being worked on by process {os.getpid()}"),
    ):
        resume(tmp_path / "run", queries=48)
    assert resume(tmp_path / "run", queries=48).queries == 48


@pytest.mark.parametrize("damage", ["garbage", "truncated"])
def test_a_damaged_ledger(tmp_path, damage):
    run(tmp_path / "run", queries=24)
    file = tmp_path / "run" / "ledger.db"
    file.write_bytes(b"garbage" * 999 if damage == "garbage" else file.read_bytes()[:9000])
    for look in (resume, overview):
        with pytest.raises(InputError, match="is damaged or no ledger"):
            look(tmp_path / "run")


def test_a_ledger_that_keeps_no_fingerprints_cannot_go_on(tmp_path):
    run(tmp_path / "run", queries=24)
    for file in (tmp_path / "run").glob("ledger.db*"):
        file.unlink()
    first_version(tmp_path / "run" / "ledger.db")
    assert overview(tmp_path / "run").counts["search"]["scored"] == 1
    with pytest.raises(InputError, match="can be shown and exported"):
        resume(tmp_path / "run")


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"run must be the folder of a run; .* has no config.yaml"):
        resume(tmp_path)


@pytest.mark.parametrize("known", [(), ("config",), ("config", "reward")])
def test_a_process_killed_between_the_first_facts_of_a_run(tmp_path, known):
    """Ledgers of earlier versions may hold some of them: a missing one was not recorded."""
    run(tmp_path / "whole", settled)
    run(tmp_path / "parts", settled)
    with closing(sqlite3.connect(tmp_path / "parts" / "ledger.db")) as ledger, ledger:
        for table in ("query", "population", "artefact"):
            ledger.execute(f"DELETE FROM {table}")
        ledger.execute(f"DELETE FROM run WHERE key NOT IN ({', '.join('?' * len(known))})", known)
    (tmp_path / "parts" / "result.json").unlink()
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


LIMITED = """
import os, resource, sys
import torch, zo_dno
from tests.support.resuming import run, resume, settled
import PIL.PngImagePlugin, zo_dno.results.plot, zo_dno.results.progress_figure, zo_dno.run.session
from pathlib import Path
from types import ModuleType
from types import SimpleNamespace
torch.set_num_threads(1)
folder, what = Path(sys.argv[1]), sys.argv[2]
if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
else:
    run(folder.parent / "before", settled, queries=24)  # imports everything, which another user may not
    resume(folder.parent / "before", settled)
    os.seteuid(65534)
try:
    if what == "full":
        run(folder, settled, queries=4000, asking={"price": 0.01})
    else:
        resume(folder, settled, queries=48)
except zo_dno.ZoDnoError as error:
    print(type(error).__name__, error)
"""


def limited(folder, what):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LIMITED, str(folder), what]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path):
    said = limited(tmp_path / "run", "full")
    assert said.startswith("StorageError")
    assert "could not be" in said
    assert len(said.strip().splitlines()) == 1
    kept = [row for row in Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries() if row.completed]
    assert len(kept) > 10
    edit(tmp_path / "run", queries=len(kept) + 20)
    result = resume(tmp_path / "run", settled)
    assert result.queries == len(kept) + 20
    assert result.history[: len(kept) // 2] == tuple(kept[: len(kept) // 2])


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.slow
def test_a_folder_that_cannot_be_written():
    with tempfile.TemporaryDirectory() as readable:  # pytest closes its own folders to other users
        Path(readable).chmod(0o755)
        folder = Path(readable) / "run"
        run(folder, settled, queries=24)
        before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        said = limited(folder, "read-only")
        assert said.startswith("InputError run must be a folder that can be written to")
        assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def removing(folder):
    """A reward that removes the folder of its run at its fifth image, as a user may who tidies up."""
    seen = []

    def removing(images, prompts):
        seen.extend(images)
        if len(seen) >= 5:
            shutil.rmtree(folder, ignore_errors=True)
        return [float(len(seen) - n) for n in range(len(images))]

    return removing


@pytest.mark.parametrize("options", [(), ("--durable",), ("--price", 0.01)], ids=["free", "durable", "price"])
def test_a_folder_that_is_removed_meanwhile_is_one_line(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    rewards = ModuleType("tidy_rewards")
    rewards.removing = removing(tmp_path / "here")
    monkeypatch.setitem(sys.modules, "tidy_rewards", rewards)
    words = ("--model", "tests.support.toys:prompted", "--prompt", "sea", "--reward", "tidy_rewards:removing")
    words += ("--queries", 32, "--threads", 1, "--strategy-option", "population=8", *options)
    code = exit_code(("run", *words, "--out", "here"))
    output, errors = capsys.readouterr()
    assert code == 1, output + errors
    said = [line for line in errors.splitlines() if line.startswith("Error: ")]
    assert len(said) == 1, output + errors
    assert "here" in said[0]
    assert "Traceback" not in output + errors
