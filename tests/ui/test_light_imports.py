"""Commands that only read start without the libraries that take seconds to import."""

import subprocess
import sys
from pathlib import Path

import pytest

from zo_dno.registry import first_lines, load
from zo_dno.rewards import REWARDS
from zo_dno.spaces import SPACES
from zo_dno.strategies import STRATEGIES

RUN = Path(__file__).parents[1] / "storage" / "old_runs" / "finished"
HEAVY = ("torch", "diffusers", "transformers", "ray", "pandas", "scipy", "matplotlib")
SCRIPT = """
import sys
from zo_dno.ui.cli.main import app
try:
    app(sys.argv[1:])
finally:
    print("imported:", *(name for name in {heavy} if name in sys.modules))
"""


@pytest.mark.parametrize("command", [["list"], ["show", str(RUN)]])
def test_reading_commands_import_nothing_heavy(command):
    script = SCRIPT.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].strip() == "imported:"


@pytest.mark.parametrize(("kind", "table"), [("strategy", STRATEGIES), ("space", SPACES), ("reward", REWARDS)])
def test_every_entry_of_a_table_has_a_first_line(kind, table):
    for name, line in first_lines(table).items():
        assert line
        assert line == (load(kind, table, name).__doc__ or "").partition("\n")[0]
