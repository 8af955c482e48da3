"""Command-line options made from groups of options, and their values back into a config."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Union

import typer
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.option_group import OptionGroup, extra_of, groups_of

_POLICY = "policy"
_LONGEST_REASON = 200  # characters


def with_options(
    model: type[OptionGroup], only: Iterable[str] | None = None, *, defaults: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a model, in place of its last parameter `options`.

    Args:
        model: Groups of options; its option `policy` stands for the options of the call policy.
        only: Names of the options that the command has; all by default.
        defaults: Whether the help texts name the defaults.
    """
    kept = None if only is None else set(only)
    made = [one for one in _parameters(model, defaults=defaults) if kept is None or one.name in kept]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name != "options"]
        names = [one.name for one in own]
        arguments = [one for one in own if _is_argument(one)]
        ordered = (*arguments, *made, *(one for one in own if one not in arguments))

        def called(**values: Any) -> None:
            given = {name: value for name, value in values.items() if name not in names and value is not None}
            command(**{name: values[name] for name in names}, options=given)

        called.__doc__, called.__name__ = command.__doc__, command.__name__
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in ordered]
        )
        called.__annotations__ = {one.name: one.annotation for one in ordered}
        return called

    return decorate


def values_of(model: type[OptionGroup], given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn what the command line gave for a model's options into the values of a config.

    Raises:
        InputError: A text is not KEY=VALUE or not YAML, or a file cannot be read.
    """
    return {name: _value(name, model.model_fields[name], value) for name, value in given.items()}


def described(field: FieldInfo) -> str:
    """Return the sentence about an option that help and tables show, with its unit."""
    unit = extra_of(field)["unit"]
    return f"{field.description} ({unit})" if unit else str(field.description)


def default_of(field: FieldInfo) -> str:
    """Return the words for an option's default; empty where it has none."""
    if words := str(extra_of(field)["by_default"]):
        return words
    value = field.default
    return "" if field.is_required() or value is None or value is False or value in ({}, [], "") else str(value)


def flags_of(name: str, field: FieldInfo) -> list[str]:
    """Return an option's names on the command line."""
    own: list[str] = list(extra_of(field)["flags"])
    flag = f"--{name.replace('_', '-')}"
    return own or ([f"{flag}/--no-{flag[2:]}"] if bool in _kinds(field) else [flag])


def _parameters(model: type[OptionGroup], *, defaults: bool) -> list[inspect.Parameter]:
    made = []
    for title, names in groups_of(model).items():
        own = [name for name in names if name != _POLICY]
        made += [_parameter(name, model.model_fields[name], title, defaults=defaults) for name in own]
        if _POLICY in names:
            made += _parameters(CallPolicy, defaults=defaults)
    return made


def _is_argument(parameter: inspect.Parameter) -> bool:
    return any(isinstance(one, ArgumentInfo) for one in typing.get_args(parameter.annotation))


def _parameter(name: str, field: FieldInfo, title: str, *, defaults: bool) -> inspect.Parameter:
    type_ = _type(field)
    words = described(field) + ("; repeatable" if type_ == list[str] else "")
    default = f" Default: {value}." if (value := default_of(field)) and defaults else ""
    option = typer.Option(
        *flags_of(name, field),
        help=f"{words}.{default}",
        rich_help_panel=title,
        show_default=False,
        metavar="KEY=VALUE" if _pairs(field) else None,
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[type_ | None, option]
    )


def _type(field: FieldInfo) -> Any:
    kinds = _kinds(field)
    if extra_of(field)["form"] == "yaml file":
        return Path
    if dict in kinds or list in kinds or extra_of(field)["repeatable"]:
        return list[str]
    for kind in (bool, int, float):
        if kinds == {kind}:
            return kind
    return str


def _kinds(field: FieldInfo) -> set[Any]:
    """Return the plain types that an option's value may have."""
    found: set[Any] = set()
    waiting: list[Any] = [field.annotation]
    while waiting:
        one = waiting.pop()
        origin = typing.get_origin(one)
        if origin in (Union, types.UnionType):
            waiting += typing.get_args(one)
        elif origin is Annotated:
            waiting.append(typing.get_args(one)[0])
        elif one is not type(None):
            found.add(origin or one)
    return found


def _pairs(field: FieldInfo) -> bool:
    return dict in _kinds(field) and extra_of(field)["form"] != "yaml file"


def _value(name: str, field: FieldInfo, value: Any) -> Any:
    form = extra_of(field)["form"]
    if form == "yaml file":
        from zo_dno.storage.atomic import read_yaml

        return read_yaml(value)
    if not _pairs(field):
        return value
    flag = flags_of(name, field)[0]
    pairs = pairs_of(flag, value)
    return {key: _yaml(flag, key, text) for key, text in pairs.items()} if form == "yaml pairs" else pairs


def pairs_of(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """Read KEY=VALUE texts.

    Raises:
        InputError: One is something else.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError(f"{flag} must be KEY=VALUE; got {text!r}.")
        pairs[key] = value
    return pairs


def _yaml(flag: str, key: str, text: str) -> Any:
    from zo_dno.storage.plain_yaml import parse_yaml

    try:
        return parse_yaml(text)
    except ValueError as error:
        reason = one_line(str(error), _LONGEST_REASON)
        raise InputError(f"{flag} must be KEY=YAML; {key}: {reason}. Put text into quotes.") from error
