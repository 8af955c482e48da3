"""The processes behind runs: which one works on a run, how it is stopped, and one that resumes it."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.folder_lock import LOCK
from zo_dno.storage.run_folder import RunFolder

_MOST = 4  # resumed runs at a time: each loads a model
_SHORT = 300  # characters of a message
_OUTPUT = 16 * 2**10  # bytes at the end of a process's output that are read for its reason
_OURS = re.compile(r"(^|/)(zo-dno|zo_dno(/__main__\.py)?)$")  # a word of the command line of `zo-dno`


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that works on a run.

    Attributes:
        pid: Its number; None where it is not known for sure.
        interrupt: Signal that it takes as Ctrl-C; None where it may not be sent one.
        reason: Reason why it may not be stopped from here; empty if it may.
    """

    pid: int | None = None
    interrupt: signal.Signals | None = None
    reason: str = ""


def holder(folder: Path) -> Holder | None:
    """Find the process that works on a run; None where none does.

    The lock's file names it. The number alone proves nothing: it may be of another machine, or used again. So it counts
    only if that process, of this user on this machine, has the very file open, and is a command of zo-dno.
    """
    if not RunFolder.is_held(folder):
        return None
    try:
        named = re.fullmatch(r"process (\d{1,9})\n", (folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, UnicodeError):
        named = None
    if named is None or not Path("/proc/self/fd").is_dir() or not hasattr(os, "pidfd_open"):
        return Holder(reason="Stop it with Ctrl-C where it was started: its process is not known here.")
    pid = int(named[1])
    if not _has_open(pid, folder / LOCK):
        return Holder(reason="Stop it with Ctrl-C where it was started: on another machine, or by another user.")
    if not any(_OURS.search(word) for word in _command(pid)):
        return Holder(pid, reason=f"Stop it where it was started: process {pid} is a notebook or a program.")
    taken = next((one for one in (signal.SIGINT, signal.SIGTERM) if _is_caught(pid, one)), None)
    return Holder(pid, taken, "" if taken else f"Stop it where it was started: process {pid} ignores Ctrl-C.")


@dataclass(slots=True)
class Processes:
    """Stops runs, and resumes them in processes that outlive this one."""

    _stopping: dict[Path, int] = field(default_factory=dict)
    _resumed: "dict[Path, tuple[subprocess.Popen[bytes], IO[bytes]]]" = field(default_factory=dict)
    _failures: dict[Path, str] = field(default_factory=dict)

    def stop(self, folder: Path) -> None:
        """Send the process of a run what Ctrl-C sends, once: a second one would abandon its calls in flight.

        Raises:
            InputError: Its process is not known for sure, or may not be stopped from here.
        """
        found = holder(folder)
        if found is None or self.is_stopping(folder):
            return
        if found.pid is None or found.interrupt is None:
            raise InputError(found.reason)
        try:
            process = os.pidfd_open(found.pid)
        except OSError:  # it has ended meanwhile
            return
        try:
            if holder(folder) == found:  # asked again, as the number can be no other process's from now on
                self._stopping[folder] = found.pid
                signal.pidfd_send_signal(process, found.interrupt)
        except ProcessLookupError:
            pass
        finally:
            os.close(process)

    def is_stopping(self, folder: Path) -> bool:
        """Whether the process that works on a run was asked to stop."""
        found = holder(folder) if folder in self._stopping else None
        return found is not None and found.pid == self._stopping[folder]

    def resume(self, folder: Path) -> None:
        """Start `zo-dno resume` for a run.

        Raises:
            InputError: It is being worked on, is not this user's, or too many were resumed.
        """
        self.failure(folder)
        if RunFolder.is_held(folder) or folder in self._resumed:
            raise InputError("The run is in progress already.")
        if folder.stat().st_uid != os.getuid():
            raise InputError(f"The run is not of this user. Resume it in a terminal: zo-dno resume {folder}")
        if sum(process.poll() is None for process, _ in self._resumed.values()) >= _MOST:
            raise InputError(f"{_MOST} runs that were resumed here are in progress. Wait for one of them.")
        self._failures.pop(folder, None)
        output = tempfile.TemporaryFile()  # noqa: SIM115, as it outlives this call
        command = [sys.executable, "-m", "zo_dno", "resume", str(folder)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._resumed[folder] = (process, output)

    def is_starting(self, folder: Path) -> bool:
        """Whether a process that resumes a run was started and has not ended."""
        self.failure(folder)
        return folder in self._resumed

    def failure(self, folder: Path) -> str:
        """Return the last line of a process that failed to resume a run; empty if there is none."""
        process, output = self._resumed.get(folder, (None, None))
        if process is not None and output is not None and process.poll() is not None:
            del self._resumed[folder]
            if process.returncode not in (0, 130):  # ended, or stopped by Ctrl-C
                self._failures[folder] = f"It could not be resumed: {_last_line(output) or process.returncode}"
            output.close()
        return self._failures.get(folder, "")


def _last_line(output: IO[bytes]) -> str:
    output.seek(max(0, output.seek(0, os.SEEK_END) - _OUTPUT))
    lines = output.read().decode("utf-8", "replace").splitlines()
    return next((one_line(line, _SHORT) for line in reversed(lines) if line.strip()), "")


def _has_open(pid: int, file: Path) -> bool:
    """Whether a process of this user has a file open."""
    with suppress(OSError):
        expected = file.stat()
        if Path(f"/proc/{pid}").stat().st_uid != os.getuid():
            return False
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.path.samestat(entry.stat(), expected):
                    return True
    return False


def _command(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:4]
    return []


def _is_caught(pid: int, number: signal.Signals) -> bool:
    with suppress(OSError, ValueError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
    return False
