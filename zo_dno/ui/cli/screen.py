"""The options of every command about its output: `--quiet`, `--verbose`, and `--json` where it has a result."""

import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import printable
from zo_dno.ui.terminal import PrintableFormatter, console

_PANEL = "Output of the command"
_QUIET = typer.Option("--quiet", "-q", help="Show warnings and errors alone.", rich_help_panel=_PANEL)
_VERBOSE = typer.Option(
    "--verbose", "-v", help="Show the messages of the libraries too, and where an error arose.", rich_help_panel=_PANEL
)
_JSON = typer.Option("--json", help="Print the result as JSON in place of tables.", rich_help_panel=_PANEL)


def with_screen_options(command: Callable[..., None], *, json: bool = False) -> Callable[..., None]:
    """Give a command the options about its output.

    Args:
        command: Function of the command.
        json: Whether the command has a result that it shows as JSON.
    """
    flags = {"quiet": _QUIET, "verbose": _VERBOSE, **({"as_json": _JSON} if json else {})}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[bool, flag])
        for name, flag in flags.items()
    ]
    own = inspect.signature(command, eval_str=True).parameters.values()

    def called(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in flags}
        with _screen(**chosen):
            command(**values)

    called.__doc__, called.__name__ = command.__doc__, command.__name__
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *added]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    return called


@contextmanager
def _screen(*, quiet: bool, verbose: bool, as_json: bool = False) -> Iterator[None]:
    if quiet and verbose:
        raise InputError("quiet must be left out with verbose; got both. Give one of them.")
    before = console.quiet, console.as_json
    console.quiet, console.as_json = quiet or as_json, as_json
    try:
        with _libraries_heard() if verbose else nullcontext():
            yield
    except ZoDnoError:
        if verbose:
            print(printable(traceback.format_exc()), file=sys.stderr)  # it quotes texts of others
        raise
    finally:
        console.quiet, console.as_json = before


@contextmanager
def _libraries_heard() -> Iterator[None]:
    """Let every log record from level INFO on come to the standard error."""
    root, handler = logging.getLogger(), logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrintableFormatter("%(asctime)s %(name)s: %(message)s"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
