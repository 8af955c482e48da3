"""Output of every benchmark: a table to read, and one JSON object as its last line.

With RECORD=1 in the environment the figures are also appended to benchmarks/results/figures.jsonl, with their command,
commit, date and hardware.
"""

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from zo_dno.run.processors import processors


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], figures: dict[str, Any]) -> None:
    """Print rows under their columns, then the figures as JSON."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=max(100, Console().width)).print(table)
    print(json.dumps(figures))
    if os.environ.get("RECORD") == "1":
        record(figures)


RECORDS = Path(__file__).parent / "results" / "figures.jsonl"
CODE = ("zo_dno", "rewards", "strategies")
"""Folders of the code that is measured, without the links to them, which git does not follow."""


def record(figures: dict[str, Any]) -> None:
    """Append figures to the committed ones."""
    module = Path(sys.argv[0]).stem
    line = {
        "benchmark": module,
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]]),
        "commit": git("rev-parse", "HEAD"),
        "changed": bool(git("status", "--porcelain", "--", *(f":/{folder}" for folder in CODE))),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware(),
        "figures": figures,
    }
    with RECORDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def git(*words: str) -> str:
    """Return what git says of this checkout; empty where it says nothing."""
    done = subprocess.run(["git", "-C", str(RECORDS.parent), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def hardware() -> str:
    """Return the processor and how many of them this process may use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{processors()} x {name}"
