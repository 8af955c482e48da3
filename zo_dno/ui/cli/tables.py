"""The tables of options in the documentation: `python -m zo_dno.ui.cli.tables > docs/options.md`."""

import inspect
import typing
from collections.abc import Iterable

from typer.models import OptionInfo

from zo_dno.call_policy import CallPolicy
from zo_dno.option_group import OptionGroup, extra_of, groups_of
from zo_dno.run.config import GROUPS, RunConfig
from zo_dno.ui.cli.options import default_of, described, flags_of
from zo_dno.ui.cli.run import run

_BEFORE = """# Options

YAML and `zo_dno.optimize(...)` take the names in the first column, the command line those in the second. The options of
the tables {titles} can also be given together, under the keys {keys}:
as `budget=zo_dno.Budget(queries=64, max_cost=2.0)` in Python, or as a mapping in YAML. Those of the call policy can be
given as `policy=zo_dno.CallPolicy(in_flight=8)`, or under `policy:` in YAML.

Options marked with \\* may be changed when a run is resumed.

This page is generated from the code: `python -m zo_dno.ui.cli.tables > docs/options.md`.
"""


def page(model: type[OptionGroup] = RunConfig) -> str:
    """Return the page of a model's options, a table for each group."""
    titles = _listed(f"*{group.title.partition(':')[0]}*" for group in GROUPS.values())
    parts = [_BEFORE.format(titles=titles, keys=_listed(f"`{key}`" for key in GROUPS))]
    for title, names in groups_of(model).items():
        parts.append(_table(title, model, names))
        if "policy" in names:
            parts.append(_table(CallPolicy.title, CallPolicy, list(CallPolicy.model_fields)))
    parts.append(_of_the_command({*model.model_fields, *CallPolicy.model_fields}))
    return "\n".join(parts)


def _of_the_command(others: set[str]) -> str:
    """Return the table of the options that `zo-dno run` has beside those of its groups."""
    rows = ["## Further options of `zo-dno run`", "", "| command line | default | meaning |", "|---|---|---|"]
    for name, parameter in inspect.signature(run).parameters.items():
        for own in typing.get_args(parameter.annotation):
            if isinstance(own, OptionInfo) and name not in others:
                default = "" if parameter.default is None else str(parameter.default)
                rows.append(f"| `--{name.replace('_', '-')}` | {default} | {str(own.help).removesuffix('.')} |")
    return "\n".join(rows) + "\n"


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}"


def _table(title: str, model: type[OptionGroup], names: list[str]) -> str:
    rows = [f"## {title}", "", "| option | command line | default | meaning |", "|---|---|---|---|"]
    for name in names:
        field = model.model_fields[name]
        star = "\\*" if extra_of(field)["changeable"] or model is CallPolicy else ""
        flags = "" if name == "policy" else ", ".join(f"`{flag}`" for flag in flags_of(name, field))
        cells = (f"`{name}`{star}", flags, default_of(field), described(field))
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")
