"""The command line: `zo-dno` and its commands."""

import errno
import os
import sys
from typing import Annotated

import typer

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.oracle.ctrl_c import take_as_ctrl_c
from zo_dno.ui.cli.compare import compare
from zo_dno.ui.cli.inspect import export, list_, render, report, show
from zo_dno.ui.cli.judge import check_judge
from zo_dno.ui.cli.ladder import ladder
from zo_dno.ui.cli.resume import resume
from zo_dno.ui.cli.run import run
from zo_dno.ui.cli.screen import with_screen_options
from zo_dno.ui.cli.serve import rate, serve_reward
from zo_dno.ui.cli.usage import called
from zo_dno.ui.cli.watch import watch
from zo_dno.ui.terminal import accept_any_text, log_as_plain_text, show_error
from zo_dno.version import __version__

app = typer.Typer(
    name="zo-dno",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (run, resume, show):
    app.command()(with_screen_options(command, json=True))
for command in (watch, export, compare, report, serve_reward, check_judge, rate, render, ladder):
    app.command()(with_screen_options(command))
app.command("list")(with_screen_options(list_, json=True))


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"zo-dno {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search a diffusion pipeline's noise for images with a high reward."""


def main() -> None:
    """Run the command line: a mistake is one line and exit code 2, a failed run one line and exit code 1."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    accept_any_text()
    log_as_plain_text()
    take_as_ctrl_c()
    try:
        sys.exit(called(app))
    except ZoDnoError as error:
        show_error(error)
        sys.exit(2 if isinstance(error, InputError) else 1)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # of any path that the caller gave
            raise
        show_error(InputError(f"a path must be shorter; {str(error.filename)[:100]}...: {error.strerror}."))
        sys.exit(2)


if __name__ == "__main__":
    main()
