"""The command line in this process, which saves the seconds of loading the libraries."""

import sys
from collections.abc import Sequence

import pytest
import torch

from zo_dno.oracle.ctrl_c import kept
from zo_dno.ui.cli import main as cli


def exit_code(arguments: Sequence[object]) -> int:
    """Carry out a command in the current folder."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, kept():
        patch.setattr(sys, "argv", ["zo-dno", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        finally:
            torch.set_num_threads(threads)
    return 0
