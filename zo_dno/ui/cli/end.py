"""How a command ends: the summary of its runs on the screen, and its exit code."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zo_dno.errors import RunError
from zo_dno.results.stored import result_of
from zo_dno.ui.terminal import console, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zo_dno.comparison.compare import Comparison
    from zo_dno.results.result import Result
    from zo_dno.run.many_prompts import Line

_INTERRUPTED = 130  # as the shell counts Ctrl-C


def end(result: "Result") -> None:
    """Show a result; exit with 1 where the run is paused and with 130 where it was interrupted.

    Raises:
        RunError: The run is paused.
    """
    from zo_dno.ui import display

    if console.as_json:
        print_json({"folder": result.folder, **result_of(result.folder)} if result.folder else {})
    display.summary(result)
    if result.pause is not None:
        raise RunError(result.pause)
    if result.status == "interrupted":
        raise typer.Exit(_INTERRUPTED)


def end_many(lines: "Sequence[Line]", out: "Path") -> None:
    """Show many prompts; exit with 130 where one was interrupted, and with 1 where another has not ended by itself."""
    from zo_dno.results.state import ENDED
    from zo_dno.ui import display

    if console.as_json:
        print_json([{"folder": line.folder, "error": line.error, "result": line.result} for line in lines])
    display.many(lines, out)
    statuses = {line.result["status"] if line.result else None for line in lines}
    if "interrupted" in statuses:
        raise typer.Exit(_INTERRUPTED)
    if not statuses <= set(ENDED):
        raise typer.Exit(1)


def end_comparison(found: "Comparison", out: "Path") -> None:
    """Write the report of a comparison, and show its summary.

    Exits with 130 where it was interrupted, and with 1 where runs failed or are paused.
    """
    from zo_dno.comparison.compare import TABLE
    from zo_dno.results.state import RunState
    from zo_dno.ui import display

    found.report()
    display.comparison(found)
    display.files(out, {TABLE: "a row for each run and budget", "report.html": "open it in a browser"})
    if found.unfinished:
        states = {RunState.of(Path(folder)).name for folder in found.table["folder"].unique()}
        is_interrupted = found.unfinished > len(found.failures) and "paused" not in states
        raise typer.Exit(_INTERRUPTED if is_interrupted else 1)
