"""`zo-dno run`: a search from options and a config file, for one prompt, for many, or as a draft."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.run.config import RunConfig, flattened, validated, with_current_names
from zo_dno.run.model_options import ModelOptions
from zo_dno.run.options import Cluster, Output, SearchOptions
from zo_dno.run.several_rewards import FRONT
from zo_dno.ui.cli.end import end, end_many
from zo_dno.ui.cli.options import values_of, with_options
from zo_dno.ui.terminal import console

if TYPE_CHECKING:
    from collections.abc import Mapping


@with_options(RunConfig)
def run(
    config: Annotated[Path | None, typer.Argument(help="YAML file of options; the command line overrides it.")] = None,
    out: Annotated[Path, typer.Option(help="New folder for the results.", rich_help_panel=Output.title)] = Path(
        "runs/latest"
    ),
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="File of prompts, one per line. Each has a run in a folder of its own in --out.",
            rich_help_panel=ModelOptions.title,
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            help="Number of prompts to search at a time, with --prompts.", min=1, rich_help_panel=Cluster.title
        ),
    ] = None,
    draft: Annotated[
        int | None,
        typer.Option(
            help="Search with this many denoising steps, then score the best candidates at --steps.",
            min=1,
            rich_help_panel=SearchOptions.title,
        ),
    ] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Search the noise of a pipeline for an image with a high reward."""
    values = _with_file(config, options)
    if prompts is not None and draft is not None:
        raise InputError("draft must be left out with prompts; got both. Run the prompts one by one.")
    if prompts is None and at_once is not None:
        raise InputError(f"at-once must come with prompts; got {at_once} without them. Leave it out.")
    if prompts is not None:
        _run_many(values, prompts, out, at_once)
        return
    checked = validated(values)
    if "reward" not in values:
        console.show((f"reward: {checked.reward}, the default; --reward names another", "dim"))
    if draft is not None and checked.reward == FRONT:
        raise InputError("draft must be left out with a front, whose candidates are not scored again; got both.")
    if draft is not None and checked.diverse is not None:
        raise InputError("draft must be left out with diverse, whose images are not scored again; got both.")
    if draft is not None:
        _run_draft(checked, draft, out)
        return
    from zo_dno.generators.quiet import quiet_libraries
    from zo_dno.ui import progress_bars

    with progress_bars.bar_of_run() as on_step, quiet_libraries():
        from zo_dno.run.from_config import run as run_config

        result = run_config(checked, out, on_step)
    end(result)


def _with_file(config: Path | None, options: "Mapping[str, Any]") -> dict[str, Any]:
    """Put the options of the command line over those of a config file."""
    from zo_dno.storage.atomic import read_yaml

    values = with_current_names(flattened(read_yaml(config))) if config else {}
    own = values.get("policy") or {}
    if not isinstance(own, dict):
        raise InputError(f"policy must be a mapping of names to values; got {own!r}.")
    policy = {name: value for name, value in options.items() if name in CallPolicy.model_fields}
    given = {name: value for name, value in options.items() if name not in policy}
    if "queries" in given and "horizon" not in given:
        values.pop("horizon", None)  # a config that a run wrote names it
    return {
        **values,
        **values_of(RunConfig, given),
        "policy": own | values_of(CallPolicy, policy),
    }


def _run_draft(config: RunConfig, steps: int, out: Path) -> None:
    from zo_dno.generators.quiet import quiet_libraries
    from zo_dno.registry import import_from_here
    from zo_dno.run.draft import run_draft
    from zo_dno.run.from_config import with_threads
    from zo_dno.ui import display, progress_bars

    import_from_here()
    with progress_bars.bar_of_run() as on_step, quiet_libraries():
        drafted = run_draft(with_threads(config), steps, out, on_step)
    display.drafted(drafted)
    end(drafted.result)


def _run_many(values: dict[str, Any], prompts: Path, out: Path, at_once: int | None) -> None:
    from zo_dno.generators.quiet import quiet_libraries
    from zo_dno.registry import import_from_here
    from zo_dno.run.from_config import with_threads
    from zo_dno.run.many_prompts import read_prompts, run_many
    from zo_dno.ui import progress_bars

    if "prompt" in values:
        raise InputError("prompt must be left out with prompts; got both. Write it into the file.")
    import_from_here()
    found = read_prompts(prompts)
    config = with_threads(validated({**values, "prompt": found[0]}))
    with progress_bars.bar_of_many() as on_step, quiet_libraries():
        lines = run_many(config, found, out, on_step, at_once=at_once)
    end_many(lines, out)
