"""The look-up of objects by name, the checks of their options, and how functions take their arguments."""

import ast
import difflib
import importlib
import importlib.util
import inspect
import itertools
import sys
import sysconfig
import traceback
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from zo_dno.errors import InputError, ZoDnoError, given, unknown_name

PROMPTS = ("prompts", "prompt")
"""Names of a parameter that takes the prompt also where it has a default."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_LONGEST_REASON = 300  # characters of an error of the caller's module
Role = Literal["subject", "prompt"]


def load(kind: str, table: Mapping[str, str], name: str) -> Any:
    """Import the class or function of a name: an entry of the table, or any "package.module:name".

    Raises:
        InputError: The name is unknown; the message suggests the nearest one. Or its module cannot be imported.
    """
    module_name, _, attribute = table.get(name, name).partition(":")
    if name in table:
        return getattr(importlib.import_module(module_name), attribute)
    if ":" not in name:
        check_is_no_module(kind, name)
        raise unknown_name(kind, name, table)
    if not is_import(name):
        raise InputError(f"{kind} must be package.module:name; got {given(name)}.{_as_import(name)}")
    module = _imported(kind, name, module_name)
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        own = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        close = difflib.get_close_matches(attribute, own, n=1, cutoff=0.5)
        hint = f"Did you mean {module_name}:{close[0]}?" if close else f"Define {attribute} in {module.__file__}."
        raise InputError(f"{kind} {given(name)} could not be imported: {error}. {hint}") from error


def _imported(kind: str, name: str, module_name: str) -> Any:
    """Import a module of the caller's, which may raise anything.

    Raises:
        InputError: It cannot be found, or raises; the message says where.
    """
    try:
        return importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            remedy = _as_import(name) or " Expected package.module:name, in this folder or installed."
            raise InputError(f"{kind} {given(name)} could not be imported: {error}.{remedy}") from error
        remedy = f"Install {missing}, which it imports." if missing else "Mend it."
        where = line_of(error)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        at = f" ({where})" if where and where not in reason else ""
        raise InputError(f"{kind} {given(name)} could not be imported: {reason}{at}. {remedy}") from error


def line_of(error: BaseException) -> str:
    """Return the file and line that raised an error, the last of the caller's own; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_callers(frame.filename)]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _is_callers(file: str) -> bool:
    libraries = (Path(__file__).parent, *map(Path, (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))))
    return not file.startswith("<frozen") and not any(Path(file).is_relative_to(folder) for folder in libraries)


def check_is_no_module(kind: str, name: str) -> None:
    """Check that a name without a colon is not that of a Python file in this folder.

    Raises:
        InputError: It is; the message says how to name what the file holds.
    """
    module = name.removesuffix(".py")
    if is_import(f"{module}:x") and not Path(name).is_dir() and Path(f"{module.replace('.', '/')}.py").is_file():
        raise InputError(f"{kind} must be package.module:name; got {given(name)}. Name what it holds: {module}:name.")


def _as_import(name: str) -> str:
    """Return how a file's path would be named; empty where it is none."""
    file, _, attribute = name.rpartition(":")
    module = file.removesuffix(".py").strip("./").replace("/", ".")
    fits = file.endswith(".py") and is_import(f"{module}:{attribute}")
    return f" Leave out the ending: {module}:{attribute}." if fits else ""


def is_import(name: str) -> bool:
    """Return whether a name is package.module:name, all of it identifiers of Python; files may have hyphens."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in f"{module.replace('-', '_')}.{attribute}".split("."))


def options_of(target: Any, internal: Collection[str] = ()) -> dict[str, inspect.Parameter]:
    """Return the options of a class by name, with their defaults and the types that values are checked against.

    Those of a parent count where the class passes further keywords on to it.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for init, owner in _inits(target):
        if init is object.__init__:
            break
        hints, own = _hints(init, owner), [*inspect.signature(init).parameters.values()]
        named = [one for one in own if one.name != "self" and one.kind not in _REST]
        parameters = {one.name: one.replace(annotation=hints.get(one.name, Any)) for one in named} | parameters
        if not any(one.kind is one.VAR_KEYWORD for one in own):
            break
    return {name: parameter for name, parameter in parameters.items() if name not in internal}


def _own_parameters(target: Any) -> Collection[str]:
    """Return the names of the parameters of a function, or of the first `__init__` of a class."""
    return inspect.signature(next(_inits(target))[0]).parameters


def takes_any(target: Any) -> bool:
    """Return whether keywords that no parameter names are passed on to the end."""
    return all(
        init is not object.__init__
        and any(one.kind is one.VAR_KEYWORD for one in inspect.signature(init).parameters.values())
        for init, _ in _inits(target)
    )


def _inits(target: Any) -> Iterator[tuple[Any, Any]]:
    """Yield what takes the options, with its owner: a function itself, or the `__init__` of a class and its parents."""
    if not inspect.isclass(target):
        yield target, target
        return
    own = [(vars(owner)["__init__"], owner) for owner in target.__mro__ if "__init__" in vars(owner)]
    yield from own[:-1] or own  # the last is that of object


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
            if option not in internal and takes_any(target):
                checked[option] = value
                continue
            raise unknown_name(f"{name} option", option, known)
        try:
            checked[option] = TypeAdapter(known[option].annotation).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise InputError(f"{name} option {option!r} does not fit: {reason}; got {given(value)}.") from error
    own = _own_parameters(target)  # what a parent needs, the class itself may give it
    needed = [option for option, one in known.items() if one.default is one.empty and option in own]
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


@dataclass(frozen=True, slots=True)
class Binding:
    """How a function takes its subject, such as images or noise, and a prompt.

    Attributes:
        positional: What its first parameters take.
        named: What later parameters take, by name.
        internal: Names of all parameters that take one of the two; the others are options.
    """

    positional: tuple[Role, ...]
    named: Mapping[str, Role]
    internal: tuple[str, ...]

    @property
    def takes_prompt(self) -> bool:
        """Whether the function takes a prompt."""
        return "prompt" in (*self.positional, *self.named.values())

    def call(self, function: Callable[..., Any], subject: Any, prompt: Any, options: Mapping[str, Any]) -> Any:
        """Call the function."""
        values: dict[Role, Any] = {"subject": subject, "prompt": prompt}
        named = {name: values[role] for name, role in self.named.items()}
        return function(*(values[role] for role in self.positional), **named, **options)


def is_factory(function: Callable[..., Any], subjects: Collection[str], options: Collection[str] = ()) -> bool:
    """Return whether a function makes an object from options, rather than taking a subject such as images.

    Args:
        function: The function.
        subjects: Known names of a parameter that takes the subject.
        options: Names of parameters that options are given for.
    """
    if not inspect.isroutine(function):
        return False
    try:
        every = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without a signature
        return False
    named = any((one.name in subjects and one.default is one.empty) or one.kind is one.VAR_POSITIONAL for one in every)
    needed = [one.name for one in every if one.kind in _POSITIONAL and one.default is one.empty]
    return not named and all(name in options for name in needed)


def made_by(kind: str, name: str, make: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Call a class or a factory of the caller's, which may raise anything, with checked options.

    Raises:
        InputError: It raises; the message says where.
    """
    checked = checked_options(name, make, options)
    try:
        return make(**checked)
    except ZoDnoError:
        raise
    except Exception as error:
        where = line_of(error)
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
        raise InputError(f"{kind} {name!r} could not be made: {reason}{where and f' ({where})'}.") from error


def binding_of(
    function: Callable[..., Any], subjects: Collection[str], options: Collection[str] = (), *, rest: tuple[Role, ...]
) -> Binding:
    """Find out how a function takes its subject and a prompt.

    The subject is a parameter of a known name, else the first one without a default. The prompt is a parameter of a
    known name, else the next one without a default.

    Args:
        function: The function.
        subjects: Known names of a parameter that takes the subject.
        options: Names of parameters that options are given for.
        rest: What a function takes whose parameters are not known, as with `*args` alone.
    Raises:
        InputError: No parameter takes the subject.
    """
    try:
        every = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return Binding(rest, {}, ())
    known = [one for one in every if one.kind not in _REST and one.name not in options]
    positional = [one for one in known if one.kind in _POSITIONAL]
    if not positional and any(one.kind is one.VAR_POSITIONAL for one in every):
        return Binding(rest, {}, ())
    prompt = next((one.name for one in known if one.name in PROMPTS), None)
    named_so = [one for one in known if one.name in subjects]
    needed = [one for one in positional if one.default is one.empty]
    candidates = (*(one for one in named_so if one.default is one.empty), *needed, *named_so, *positional)
    subject = next((one.name for one in candidates if one.name != prompt), None)
    if subject is None:
        name = getattr(function, "__name__", type(function).__name__)
        raise InputError(f"{name} must take {next(iter(subjects))} as its first parameter; it takes none.")
    if prompt is None:
        prompt = next((one.name for one in needed if one.name != subject), None)
    roles: dict[str, Role] = {subject: "subject"}
    if prompt is not None:
        roles[prompt] = "prompt"
    leading = list(itertools.takewhile(roles.__contains__, [one.name for one in every if one.kind in _POSITIONAL]))
    named: dict[str, Role] = {name: role for name, role in roles.items() if name not in leading}
    return Binding(tuple(roles[name] for name in leading), named, tuple(roles))


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
    except (NameError, TypeError, AttributeError, KeyError):  # a type for type checkers alone, or a callable object
        return {}


def import_from_here() -> None:
    """Let `package.module:name` find a file in the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
