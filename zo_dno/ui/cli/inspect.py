"""Commands that inspect runs and list names: show, export, report, list, render."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal

import typer

from zo_dno.errors import InputError
from zo_dno.ui.terminal import console, print_json


def show(folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")]) -> None:
    """Show the progress, failures and cost of a run, also while it runs."""
    from zo_dno.results.overview import overview
    from zo_dno.ui import display

    found = overview(folder)
    if console.as_json:
        every_query = ("rows", "populations")  # `export` has them
        print_json({one.name: getattr(found, one.name) for one in fields(found) if one.name not in every_query})
    display.overview(found)


def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .csv.")],
) -> None:
    """Write the queries of a run as a table, one row per query."""
    from zo_dno.results.export import export as write
    from zo_dno.ui import display

    rows = write(folder, out)
    display.files(out.parent, {out.name: f"{rows} queries"})


def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run, a comparison, or several runs.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; report.html in the folder by default.", show_default=False)
    ] = None,
    figures: Annotated[
        Literal["svg", "pdf", "png"] | None,
        typer.Option(help="Kind of files of the figures, into the folder `figures` beside it.", show_default=False),
    ] = None,
) -> None:
    """Write a run, a comparison, or several runs side by side as one HTML file."""
    from zo_dno.comparison.compare import Comparison
    from zo_dno.comparison.plan import PLAN
    from zo_dno.results.report import write_run_report
    from zo_dno.ui import display

    if len(folders) > 1:
        path = Comparison.of_runs(folders).report(out or Path("report.html"), figures=figures)
    elif (folders[0] / PLAN).exists():
        path = Comparison.load(folders[0]).report(out, figures=figures)
    else:
        path = write_run_report(folders[0], out, figures=figures)
    display.files(path.parent, {path.name: "open it in a browser"})


def list_() -> None:
    """List the strategies, search spaces, rewards and models, one per line."""
    from zo_dno.registry import first_lines
    from zo_dno.rewards import REWARDS
    from zo_dno.spaces import SPACES
    from zo_dno.strategies import STRATEGIES
    from zo_dno.ui import display

    found = {
        "strategies": first_lines(STRATEGIES),
        "spaces": first_lines(SPACES),
        "rewards": first_lines(REWARDS),
        "models": {
            "scenes-128": "Landscapes of 128x128 pixels by a small built-in model, by default; also called scenes.",
            "scenes-64": "The same landscapes, of 64x64 pixels.",
            "FOLDER | FILE | HUB NAME": "Any diffusers pipeline of images or videos, also as a single-file checkpoint.",
            "MODULE:NAME": "Any Python function z -> images, generator, or class of generators.",
        },
    }
    if console.as_json:
        print_json(found)
    for title, lines in found.items():
        display.listing(title, lines)


def render(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    steps: Annotated[int | None, typer.Option(help="Number of denoising steps; the run's by default.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; RUN/render by default.")] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run the code that the config names, even if another user or machine wrote the folder."
        ),
    ] = False,
) -> None:
    """Render a run's winner again, and write its initial latents for plain diffusers (`latents=`)."""
    from zo_dno.ui import display

    if steps is not None and steps < 1:
        raise InputError(f"steps must be at least 1; got {steps}.")
    from zo_dno.generators.quiet import quiet_libraries

    with quiet_libraries():
        from PIL import Image
        from safetensors.torch import save_file

        from zo_dno.run import from_config as runs
        from zo_dno.storage.atomic import write_whole
        from zo_dno.storage.run_folder import check_is_run, make_folder

        check_is_run(folder)
        out = out or folder / "render"
        make_folder(out)  # before a model is loaded
        image, latents = runs.render(folder, steps=steps, trust=trust)
        write_whole(out / "image.png", Image.fromarray(image.numpy()).save)
        tensors = {"latents": latents.contiguous()}
        write_whole(out / "latents.safetensors", lambda unfinished: save_file(tensors, unfinished))
    display.files(out, {"image.png": "the winner", "latents.safetensors": "its initial latents, for `latents=`"})
