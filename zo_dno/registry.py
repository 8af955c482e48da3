"""The look-up of rewards and strategies by name, and the checks of their options."""

import ast
import importlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, given, unknown_name


def load(kind: str, table: Mapping[str, str], name: str) -> Any:
    """Import the class or function of a name: an entry of the table, or any "package.module:name".

    Raises:
        InputError: The name is unknown; the message suggests the nearest one.
    """
    if name not in table and ":" not in name:
        raise unknown_name(kind, name, table)
    module_name, _, attribute = table.get(name, name).partition(":")
    if name not in table and not is_import(name):
        raise InputError(f"{kind} must be package.module:name; got {given(name)}.")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        if name in table:
            raise
        raise InputError(
            f"{kind} {given(name)} could not be imported: {error}. Expected package.module:name."
        ) from error


def is_import(name: str) -> bool:
    """Return whether a name is package.module:name, all of it identifiers of Python; files may have hyphens."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in f"{module.replace('-', '_')}.{attribute}".split("."))


def options_of(target: Any, internal: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Return the options of a class by name, with their defaults and the types that values are checked against.

    Those of a parent count where the class passes further keywords on to it.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for owner in target.__mro__ if inspect.isclass(target) else (target,):
        init = vars(owner).get("__init__") if inspect.isclass(target) else owner
        if init is None or init is object.__init__:
            continue
        hints, own = _hints(init, owner), [*inspect.signature(init).parameters.values()]
        named = [one for one in own if one.name != "self" and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
        parameters = {one.name: one.replace(annotation=hints.get(one.name, Any)) for one in named} | parameters
        if not any(one.kind is one.VAR_KEYWORD for one in own):
            break
    return {name: parameter for name, parameter in parameters.items() if name not in internal}


def checked_options(
    name: str, target: Any, options: Mapping[str, Any], internal: Collection[str] = ()
) -> dict[str, Any]:
    """Check options against those of a class, and convert text such as "95" to their types.

    Raises:
        InputError: An option is unknown, missing, or its value does not fit.
    """
    from pydantic import TypeAdapter, ValidationError  # takes a fifth of a second to import

    known = options_of(target, internal)
    checked: dict[str, Any] = {}
    for option, value in options.items():
        if option not in known:
            raise unknown_name(f"{name} option", option, known)
        try:
            checked[option] = TypeAdapter(known[option].annotation).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InputError(f"{name} option {option!r} does not fit: {reason}; got {given(value)}.") from error
    needed = [option for option, parameter in known.items() if parameter.default is parameter.empty]
    missing = [option for option in needed if option not in checked]
    if missing:
        raise InputError(f"{name} needs the option {missing[0]!r}; got {', '.join(options) or 'none'}.")
    return checked


def first_lines(table: Mapping[str, str]) -> dict[str, str]:
    """Return the first line of every docstring of a table's classes and functions, by their names in it.

    The source is parsed and not imported: torch, which most of the modules import, takes seconds to load.
    """
    lines: dict[str, str] = {}
    for name, path in table.items():
        module, _, attribute = path.partition(":")
        lines[name] = _docstrings(module)[attribute].partition("\n")[0]
    return lines


def n_positional(function: Callable[..., Any]) -> int:
    """Return the number of a function's positional parameters."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without a signature
        return 2


@cache
def _docstrings(module: str) -> dict[str, str]:
    """Return the docstrings of a module's classes and functions, by their names."""
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    return {
        node.name: ast.get_docstring(node) or ""
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def _hints(init: Any, owner: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(init, vars(sys.modules[owner.__module__]))
    except NameError:  # a type that is imported for type checkers only
        return {}


def import_from_here() -> None:
    """Let `package.module:name` find a file in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
