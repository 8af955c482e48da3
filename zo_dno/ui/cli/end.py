"""How a command ends: the summary of a run on the screen, and its exit code."""

from typing import TYPE_CHECKING

import typer

from zo_dno.errors import RunError

if TYPE_CHECKING:
    from zo_dno.results.result import Result


def end(result: "Result") -> None:
    """Show a result; exit with 1 where the run is paused and with 130 where it was interrupted.

    Raises:
        RunError: The run is paused.
    """
    from zo_dno.ui import display

    display.summary(result)
    if result.pause is not None:
        raise RunError(result.pause)
    if result.status == "interrupted":
        raise typer.Exit(130)  # as the shell counts Ctrl-C
