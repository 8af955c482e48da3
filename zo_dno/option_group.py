"""Groups of options: pydantic models whose fields carry a description, a unit and a default.

Everything that lists options derives from these models: the command line, YAML files, the arguments of `optimize`, the
help texts and the tables of the documentation.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from zo_dno.errors import InputError, unknown_name


def option(
    default: Any,
    description: str,
    *,
    unit: str = "",
    by_default: str = "",
    flags: tuple[str, ...] = (),
    changeable: bool = False,
    resume: bool = False,
    redraw: bool = False,
    form: Literal["", "yaml pairs", "yaml file"] = "",
    repeatable: bool = False,
    **limits: Any,
) -> Any:
    """Declare an option of a group.

    Args:
        default: Value where the caller gives none; `...` makes the option required.
        description: One sentence without its full stop, as help and tables show it.
        unit: Unit of the value, such as "s".
        by_default: Words for the default where the value says too little.
        flags: Names on the command line; by default the field's own.
        changeable: Whether a run can be resumed with another value.
        resume: Whether `zo-dno resume` offers the option.
        redraw: Whether the option also applies when the best of a draft are scored again at full steps.
        form: Form of a mapping on the command line: KEY=VALUE texts, KEY=VALUE with YAML values, or a YAML file.
        repeatable: Whether the command line takes the option of one value several times, as a list.
        **limits: Limits of the value, such as `ge` and `gt` of `pydantic.Field`.
    """
    extra: dict[str, Any] = {
        "unit": unit,
        "by_default": by_default,
        "flags": list(flags),
        "changeable": changeable or resume,
        "resume": resume,
        "redraw": redraw,
        "form": form,
        "repeatable": repeatable,
    }
    return Field(default, description=description, json_schema_extra=extra, **limits)


class OptionGroup(BaseModel):
    """Options that belong together. Frozen; a wrong value is one `InputError`.

    Attributes:
        title: Heading of the group in help and tables.
        kind: Name of a key of the group in messages.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    title: ClassVar[str] = "Options"
    kind: ClassVar[str] = "option"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise input_error(error, type(self)) from error

    def changed(self, **values: Any) -> Self:
        """Return the same with other values, checked.

        Raises:
            InputError: A name is unknown, or a value does not fit.
        """
        return type(self)(**{name: getattr(self, name) for name in self.model_fields_set} | values)

    @property
    def given(self) -> dict[str, Any]:
        """The values that the caller gave, without the defaults."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """Return what `option` keeps of an option beside its type, default and limits."""
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def marked(model: type[OptionGroup], mark: str) -> list[str]:
    """Return the names of a model's options that were declared with a mark, such as "changeable"."""
    return [name for name, field in model.model_fields.items() if extra_of(field).get(mark)]


def groups_of(model: type[OptionGroup]) -> dict[str, list[str]]:
    """Return the titles of a model's groups, each with the names of its options, those of a derived class first."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in model.model_fields:
        place, owner = next(
            (place, one)
            for place, one in reversed(list(enumerate(model.__mro__)))
            if issubclass(one, OptionGroup) and name in vars(one).get("__annotations__", {})
        )
        found.setdefault(owner.title, []).append((place, name))
    return {title: [name for _, name in sorted(names, key=lambda one: one[0])] for title, names in found.items()}


def input_error(error: ValidationError, model: type[OptionGroup]) -> InputError:
    """Turn pydantic's errors into one line about the first option that is wrong."""
    errors = error.errors()
    first = min(errors, key=lambda one: one["type"] != "extra_forbidden")
    if not first["loc"]:  # a rule over several options
        return InputError(expectation(first))
    name = str(first["loc"][0])
    if first["loc"][-1] == "[key]":
        return InputError(f"names in {name} must be text; got {_input(first, 1)}.")
    if first["type"] == "extra_forbidden":
        return unknown_name(model.kind, name, model.model_fields)
    if first["type"] == "missing":
        return InputError(f"{name} is missing; give --{name.replace('_', '-')} or write it into the config file.")
    reasons = dict.fromkeys(expectation(one) for one in errors if str(one["loc"][0]) == name)
    return InputError(f"{name} must be {_either(reasons)}; got {_input(first, len(first['loc']))}.")


def expectation(error: Mapping[str, Any]) -> str:
    """Say what is expected of a value, given one of pydantic's errors about it."""
    context, type_ = error.get("ctx", {}), error["type"]
    limit = next((f"{context[name]:g}" for name in ("ge", "gt", "le", "lt") if name in context), "")
    words = {
        "greater_than_equal": f"at least {limit}",
        "greater_than": f"above {limit}",
        "less_than_equal": f"at most {limit}",
        "less_than": f"below {limit}",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_parsing": "true or false",
        "string_type": "text",
        "dict_type": "a mapping of names to values",
        "list_type": "a list",
        "literal_error": str(context.get("expected", "")),
    }
    return words.get(type_) or str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def _either(reasons: Iterable[str]) -> str:
    *others, last = reasons
    return f"{', '.join(others)} or {last}" if others else last


def _input(error: Mapping[str, Any], depth: int) -> str:
    value = error["input"]
    return repr(value) if depth else str(value)
