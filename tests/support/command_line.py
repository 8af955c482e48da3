"""The command line in this process, which saves the seconds of loading the libraries."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch

from zo_dno.oracle.ctrl_c import SIGNALS
from zo_dno.ui.cli import main as cli


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of signals back that are set inside the block."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(arguments: Sequence[object]) -> int:
    """Carry out a command in the current folder."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, handlers_kept():
        patch.setattr(sys, "argv", ["zo-dno", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            torch.set_num_threads(threads)
    return 0
