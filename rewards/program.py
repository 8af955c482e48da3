"""Programs of the `command` reward: run to the end, or killed with their process group."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Sequence

from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, one_line

EXCERPT = 200  # characters of an output that a message quotes
_TAIL = 2**16  # bytes of an output that are kept, so that endless output does not fill the memory
_LINGER = 1.0  # seconds that a child process may hold the output open after the program's end
_DYING = 2.0  # seconds that a killed program may take to end


async def last_line_of(words: Sequence[str]) -> str:
    """Run a program without a shell and without input; cancellation kills its whole process group.

    Args:
        words: Program and arguments.
    Returns:
        The last line that is not blank, or "".

    Raises:
        CallError: The exit code is not 0; 75 (EX_TEMPFAIL of sysexits.h) says that a retry may help.
        OSError: The program could not be started.
    """
    loop, nothing = asyncio.get_running_loop(), asyncio.subprocess.DEVNULL
    transport, output = await loop.subprocess_exec(_Output, *words, stdin=nothing, start_new_session=True)
    try:
        await output.ended
        await asyncio.wait([output.closed], timeout=_LINGER)
    except BaseException:  # cancelled: its output will not be read
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(transport.get_pid(), signal.SIGKILL)  # it leads a process group, since it began a session
        await asyncio.wait([output.ended], timeout=_DYING)
        raise
    finally:
        transport.close()
    code = transport.get_returncode()
    if code:
        kind = f"exit {code}" if code > 0 else f"killed by signal {-code}"
        message = one_line(f"{kind}: {output.last_line(2)}").removesuffix(":")[:EXCERPT]
        raise CallError(Failure(kind, message, transient=code == os.EX_TEMPFAIL, billed=True))
    return output.last_line(1)


def fingerprints(words: Sequence[str]) -> dict[str, str]:
    """Identify a program by the content of its file and of the arguments that are files.

    Returns:
        Hash (sha256) of each file in hexadecimal, by its word in the command.

    Raises:
        InputError: There is no such program, or a file cannot be read.
    """
    program = shutil.which(words[0])
    if program is None:
        raise InputError(
            f"command must begin with a program; got {words[0]!r}. It is not on the PATH, or not executable: "
            "give its path, or put its interpreter in front."
        )
    paths = {words[0]: program} | {word: word for word in words[1:] if os.path.isfile(word)}
    return {word: _sha256(path) for word, path in paths.items()}


class _Output(asyncio.SubprocessProtocol):
    """The last bytes of a program's output, and its end.

    Attributes:
        ended: Future that is done once the program has ended.
        closed: Future that is done once no process holds the output open.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._tails = {1: b"", 2: b""}  # by file descriptor: output and errors

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._tails[fd] = (self._tails[fd] + data)[-_TAIL:]

    def process_exited(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)

    def last_line(self, fd: int) -> str:
        """Return the last line that is not blank, or ""."""
        lines = self._tails[fd].decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"command must name files that can be read; got {path!r}: {error.strerror}.") from error
