"""A command in a process of its own that is forked from one which has loaded the libraries.

A fresh interpreter takes 5 s of CPU to load them, which is most of what such a test costs.
"""

import atexit
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.clocks import PATIENCE

_LOADED = (
    "pydantic",
    "scipy.special",
    "tests.support.toys",
    "zo_dno.results.outputs",
    "zo_dno.results.plot",
    "zo_dno.run.from_config",
    "zo_dno.ui.cli.main",
    "zo_dno.ui.display",
    "zo_dno.ui.progress_bars",
    "zo_dno.web.server",
)


class Forked:
    """A command that runs, with what tests need of `subprocess.Popen`.

    Args:
        words: Words of the command line, without the name of the program.
        environment: Changes to the environment.
    Attributes:
        pid: Number of the process.
    """

    def __init__(self, words: Sequence[object], **environment: str) -> None:
        handle, name = tempfile.mkstemp(prefix="zo-dno-output-")
        os.close(handle)
        self._file = Path(name)
        weakref.finalize(self, self._file.unlink, missing_ok=True)
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, *_LOADED])
        given = (list(map(str, words)), str(Path.cwd()), {**os.environ, **environment}, name)
        self._process = context.Process(target=_carry_out, args=given, daemon=True)
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self._file.read_text(encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        """Return the exit code, that of a signal negative; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = PATIENCE) -> int | None:
        """Wait for its end; returns None where that does not come in time."""
        self._process.join(timeout)
        return self.poll()

    def lines(self) -> Iterator[str]:
        """Yield the lines that it prints, until its end."""
        with self._file.open(encoding="utf-8", errors="replace") as file:
            while True:
                over, place, line = self.poll() is not None, file.tell(), file.readline()
                if line.endswith("\n") or (over and line):
                    yield line
                elif over:
                    return
                else:  # the end of the line is not there yet
                    file.seek(place)
                    time.sleep(0.02)


def _carry_out(words: list[str], folder: str, environment: dict[str, str], output: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = ["zo-dno", *words]
    sys.path.insert(0, folder)  # as with `python -m`
    atexit._clear()
    from zo_dno.__main__ import main

    try:
        main()
    finally:
        sys.stdout.flush()
        atexit._run_exitfuncs()  # which a process of multiprocessing leaves out
