"""`zo-dno watch`: a page on this machine that shows runs while they are in progress."""

from pathlib import Path
from typing import Annotated

import typer

from zo_dno.errors import InputError


def watch(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Folders of runs, comparisons or many prompts, or above them; ./runs by default.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8013,
) -> None:
    """Show runs and comparisons on a page of this machine while they are in progress, and stop or resume them there.

    The link contains a token: the value of the environment variable ZO_DNO_TOKEN, or a new one.
    """
    from zo_dno.watch.found import find
    from zo_dno.watch.page import WatchPage

    for folder in folders or ():
        if not find([folder]):
            raise InputError(f"run must be the folder of a run, a comparison or many prompts; {folder} holds none.")
    page = WatchPage([folder.resolve() for folder in folders or [Path("runs")]], port=port)
    print(f"Watch the runs at {page.link}", flush=True)
    page.run()
