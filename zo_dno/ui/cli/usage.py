"""Mistakes in the words of a command, such as an unknown option: one line, as any other mistake."""

from typing import Any

import typer

from zo_dno.errors import InputError, given
from zo_dno.option_group import expectation

_ROOT: Any = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")
"""What typer raises at a mistake; newer versions bring click along, older ones import it."""


def called(app: typer.Typer) -> int:
    """Carry out the command that the command line names, and return the exit code.

    Raises:
        InputError: Its words are wrong: an unknown option or command, a value that does not fit, a missing argument.
    """
    try:
        code: Any = typer.main.get_command(app)(prog_name="zo-dno", standalone_mode=False)
    except typer.Abort:
        return 1
    except _ROOT as error:
        if not error.format_message():  # no words at all, at which the help was shown
            return 2
        raise InputError(in_one_line(error)) from error
    return code if isinstance(code, int) else 0


def in_one_line(error: Any) -> str:
    """Say what is wrong with a command line, and where its options are listed."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "zo-dno"
    parameter = getattr(error, "param", None)
    reason = error.__cause__ or error.__context__
    if parameter is not None and hasattr(reason, "errors"):  # of pydantic, which names the value
        first = reason.errors()[0]
        name = max(parameter.opts, key=len)
        return f"{name} must be {expectation(first)}; got {given(first['input'])}. See {command} --help."
    option = getattr(error, "option_name", None)
    if context is not None and context.command.name == "resume" and option and _of_runs(option):
        return f"{option} must stay as it was when a run is resumed; got another. Start a new run."
    return f"{error.format_message().rstrip('.')}. See {command} --help."


def _of_runs(flag: str) -> bool:
    from zo_dno.run.config import RunConfig

    return flag.lstrip("-").replace("-", "_").removesuffix("s") in {
        name.removesuffix("s") for name in RunConfig.model_fields
    }
