"""`zo-dno resume`: a run, many prompts, a draft or a comparison, from where its ledgers end."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zo_dno.errors import InputError
from zo_dno.option_group import marked
from zo_dno.run.config import RunConfig
from zo_dno.ui.cli.end import end, end_comparison, end_many
from zo_dno.ui.cli.options import pairs_of, values_of, with_options


@with_options(RunConfig, only=marked(RunConfig, "resume"), defaults=False)
def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run, of many prompts, of a draft or of a comparison.")
    ],
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Resume even if the recorded beginning cannot be repeated exactly.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Send queries that got no score again, such as after a mended bug.")
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run the code that the config names, even if another user or machine wrote the folder."
        ),
    ] = False,
    reward_option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option of the reward with another value, KEY=VALUE; repeatable. Only while nothing has a score.",
            show_default=False,
        ),
    ] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Resume a run that was stopped, paused or killed, or spend a larger budget on a finished one."""
    from zo_dno.generators.quiet import quiet_libraries
    from zo_dno.registry import import_from_here
    from zo_dno.ui import display, progress_bars

    import_from_here()
    if (folder / "comparison.yaml").exists():
        given = {"accept_drift": accept_drift, "retry_failed": retry_failed, "reward_option": reward_option, **options}
        _resume_comparison(folder, [name for name, value in given.items() if value], trust=trust)
        return
    several = (folder / "prompts.json").exists() or (folder / "draft.yaml").exists()
    if retry_failed and several:
        raise InputError(f"retry-failed must come with the folder of one run; got {folder}. Resume the runs in it.")
    changes = {"accept_drift": accept_drift, "trust": trust, **values_of(RunConfig, options)}
    if reward_option:
        changes["reward_options"] = pairs_of("--reward-option", reward_option)
    if (folder / "prompts.json").exists():
        from zo_dno.run.many_prompts import resume_many

        with progress_bars.bar_of_many() as on_step_of, quiet_libraries():
            lines = resume_many(folder, on_step_of, **changes)
        end_many(lines, folder)
        return
    if (folder / "draft.yaml").exists():
        from zo_dno.run.draft import resume_draft

        with progress_bars.bar_of_run() as on_step, quiet_libraries():
            drafted = resume_draft(folder, on_step, **changes)
        display.drafted(drafted)
        end(drafted.result)
        return
    with progress_bars.bar_of_run() as on_step, quiet_libraries():
        from zo_dno.run import from_config

        result = from_config.resume(folder, on_step, retry_failed=retry_failed, **changes)
    end(result)


def _resume_comparison(folder: Path, changes: list[str], *, trust: bool) -> None:
    from zo_dno.comparison.compare import resume_plan
    from zo_dno.generators.quiet import quiet_libraries
    from zo_dno.ui import progress_bars

    if changes:
        raise InputError(
            f"{changes[0].replace('_', '-')} must be left out with the folder of a comparison, whose plan is resumed; "
            f"got {folder}."
        )
    with progress_bars.bar_of_trials() as on_trial, quiet_libraries():
        found = resume_plan(folder, trust=trust, on_trial=on_trial)
    end_comparison(found, folder)
