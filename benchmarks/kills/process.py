"""A command of zo-dno in a process of its own, which may be told to die at one of its writes."""

import multiprocessing
import os
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import torch

from zo_dno.__main__ import main
from zo_dno.storage.ledger_file import LedgerFile

_IMPORTED = (
    "benchmarks.kills.toys",
    "cma",
    "diffusers",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "nevergrad",
    "pandas",
    "scipy.optimize",
    "transformers",
    "zo_dno.comparison.compare",
    "zo_dno.results.outputs",
    "zo_dno.results.progress_figure",
    "zo_dno.run.draft",
    "zo_dno.run.from_config",
    "zo_dno.run.many_prompts",
    "zo_dno.scenes.pipeline",
    "zo_dno.ui.cli.main",
    "zo_dno.ui.display",
    "zo_dno.ui.progress_bars",
)
"""What commands import, once for all the processes that are forked from one."""

_MARK = "ZO_DNO_TRIAL"


@dataclass(frozen=True)
class Death:
    """The write at which a process dies: a transaction of a ledger, or a file that takes its name.

    Attributes:
        at: Number of the write, from 1; 0 for never.
        after: Whether the process dies after the write, not before it.
    """

    at: int = 0
    after: bool = False


NEVER = Death()


def started(words: list[str], folder: Path, death: Death) -> BaseProcess:
    """Start a command, forked from a process that has imported everything; what it prints goes to `output.txt`."""
    process: BaseProcess = _context().Process(target=_work, args=(words, folder, death))
    process.start()
    return process


def warm_up() -> None:
    """Start the process that commands are forked from, which takes seconds."""
    process = _context().Process(target=list)
    process.start()
    process.join()


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, *_IMPORTED])
    return context


def left_behind(folder: Path) -> list[str]:
    """Return the names of a trial's processes that are there still."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is another user's
            if process.environ().get(_MARK) == str(folder):
                found.append(process.name())
    return found


def _work(words: list[str], folder: Path, death: Death) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # which a shell's background or nohup ignore
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with (folder / "output.txt").open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    (folder / "temporary").mkdir(exist_ok=True)
    os.environ.update(
        {"TMPDIR": str(folder / "temporary"), "XDG_STATE_HOME": str(folder / "state"), _MARK: str(folder)}
    )
    tempfile.tempdir = None
    torch.set_num_threads(1)
    sys.argv = ["zo-dno", *words]
    with _dying(death) as count:
        try:
            main()
        finally:
            (folder / "writes.txt").write_text(str(count()), encoding="ascii")


@contextmanager
def _dying(death: Death) -> Iterator[Callable[[], int]]:
    writes, transaction, rename = [0], LedgerFile.writing, Path.replace

    @contextmanager
    def one() -> Iterator[None]:
        writes[0] += 1
        number = writes[0]
        if number == death.at and not death.after:
            os.kill(os.getpid(), signal.SIGKILL)
        yield
        if number == death.at:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def writing(file: LedgerFile) -> Iterator[sqlite3.Connection]:
        with one(), transaction(file) as connection:
            yield connection

    def replacing(path: Path, target: Any) -> Path:
        with one():
            return rename(path, target)

    setattr(LedgerFile, "writing", writing)  # noqa: B010 - its type says that it is no plain attribute
    setattr(Path, "replace", replacing)  # noqa: B010
    yield lambda: writes[0]
