"""`zo-dno ladder`: mixtures of liked images at several distances, to choose how far the next search may go."""

from pathlib import Path
from typing import Annotated

import typer

from zo_dno.errors import InputError
from zo_dno.ui.terminal import console


def ladder(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, whose model renders.")],
    liked: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[LIKED]...", help="Runs, files of noise or folders of them; the run's winner if none."),
    ] = None,
    distances: Annotated[str, typer.Option(help="Distances, each from 0 to 1.")] = "0.1,0.2,0.4,0.7,1.0",
    each: Annotated[int, typer.Option(help="Number of images at each distance.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the mixtures.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; RUN/ladder by default.", show_default=False)
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run the code that the config names, even if another user or machine wrote the folder."
        ),
    ] = False,
) -> None:
    """Render mixtures of liked images from small variations to fresh images, to choose a distance for --near."""
    from zo_dno.ui import display

    try:
        chosen = [float(one) for one in distances.split(",")]
    except ValueError as error:
        raise InputError(f"distances must be numbers with commas between; got {distances!r}.") from error
    from zo_dno.generators.quiet import quiet_libraries

    with quiet_libraries():
        from zo_dno.results.ladder import write_ladder
        from zo_dno.run.from_config import ladder_of_run
        from zo_dno.run.ladder import check_distances
        from zo_dno.storage.run_folder import check_is_run, make_folder

        check_is_run(folder)
        check_distances(chosen, each)
        where = out or folder / "ladder"
        make_folder(where)  # before a model is loaded
        rungs = ladder_of_run(folder, liked or [], distances=chosen, each=each, seed=seed, trust=trust)
        write_ladder(where, [(one.distance, one.z, one.images) for one in rungs])
    files = {"ladder.png": "a row for each distance"}
    display.files(where, files | {f"{one.distance:g}/": "images and noise of that row" for one in rungs})
    near = " ".join(f"--near {one}" for one in liked or [folder])
    console.show(f"the next search: zo-dno run {folder / 'config.yaml'} {near} --distance {chosen[len(chosen) // 2]:g}")
