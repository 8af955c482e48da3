"""The entry point: Ctrl-C at any moment ends a command in one line."""

import subprocess
import sys

import pytest

from zo_dno import __main__ as entry


def test_ctrl_c_while_the_command_ends_is_one_line(monkeypatch, capsys):
    def pressed():
        raise KeyboardInterrupt

    monkeypatch.setattr("zo_dno.ui.cli.main.main", pressed)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


def test_ctrl_c_while_the_libraries_load_is_one_line():
    """The import of the command line itself is what Ctrl-C interrupts."""
    interrupted = """
import sys

class Pressed:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Pressed())
from zo_dno.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted.\n")
