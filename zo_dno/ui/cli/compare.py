"""`zo-dno compare`: a comparison of searches, from a plan."""

from pathlib import Path
from typing import Annotated

import typer

from zo_dno.ui.cli.end import end_comparison


def compare(
    plan: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the plan (docs/comparing.md).")],
    out: Annotated[Path, typer.Option(help="New folder, or the folder of a comparison to resume.")] = Path(
        "runs/comparison"
    ),
    at_once: Annotated[
        int | None, typer.Option(help="Number of runs at a time; one per CPU by default.", min=1, show_default=False)
    ] = None,
    early_stopping: Annotated[
        bool,
        typer.Option(
            "--early-stopping", help="Stop runs that are behind (ASHA). For a first look, not for published figures."
        ),
    ] = False,
    ray: Annotated[
        str,
        typer.Option(
            help="Ray to use: local (started for this comparison), auto (already running), or HOST:PORT of a cluster."
        ),
    ] = "local",
) -> None:
    """Run strategies x spaces x rewards x prompts x seeds with Ray Tune, and write a table and a report."""
    from zo_dno.comparison.compare import run_plan
    from zo_dno.comparison.plan import read_plan
    from zo_dno.registry import import_from_here
    from zo_dno.storage.atomic import read_yaml
    from zo_dno.ui import progress_bars

    import_from_here()
    made = read_plan({"threads": 1, **read_yaml(plan)})
    from zo_dno.generators.quiet import quiet_libraries

    with progress_bars.bar_of_trials() as on_trial, quiet_libraries():
        found = run_plan(made, out, at_once=at_once, early_stopping=early_stopping, ray=ray, on_trial=on_trial)
    end_comparison(found, out)
