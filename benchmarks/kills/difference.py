"""The first of the differences between what two commands left."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from typing import Any

_LONGEST = 200  # characters of a value in a message
_ABSENT = object()


def difference(expected: Any, found: Any) -> str:
    """Describe the first difference between two values, by its place and both sides; empty where they are equal."""
    differences = _differences("", expected, found)
    first = next(differences, None)
    if first is None:
        return ""
    place, one, other = first
    more = sum(1 for _ in differences)
    return f"{place}: {_shown(one)} became {_shown(other)}" + (f", and {more} more" if more else "")


def _differences(place: str, expected: Any, found: Any) -> Iterator[tuple[str, Any, Any]]:
    if expected == found:
        return
    one, other = _parts(expected), _parts(found)
    if one is not None and other is not None:
        for name in dict.fromkeys([*one, *other]):
            yield from _differences(f"{place} {name}".strip(), one.get(name, _ABSENT), other.get(name, _ABSENT))
    elif isinstance(expected, bytes) and isinstance(found, bytes):
        at = next(at for at, (a, b) in enumerate(zip_longest(expected, found)) if a != b)
        yield f"{place} byte {at}".strip(), expected[at : at + 16], found[at : at + 16]
    else:
        yield place, expected, found


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """Split a value into parts by name; None where it has none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return dict(enumerate(value))
    return None


def _shown(value: Any) -> str:
    text = "nothing" if value is _ABSENT else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
