"""What a reward returned: one score per image, or what it did instead."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from zo_dno.failures import CallError, Failure, one_line
from zo_dno.types import Score

_SHOWN = 60  # characters of a value in a message


def scores_in(values: Any, n: int, name: str) -> list[float | Score]:
    """Return the n scores that a reward returned.

    Args:
        values: What it returned.
        n: Number of images.
        name: Name of the reward.
    Raises:
        CallError: It is no list, tuple or one-dimensional array of n numbers or Scores.
    """
    _check_form(values, n, name)
    if len(values) != n:
        beside = isinstance(values, tuple) and any(isinstance(one, Mapping | Sequence) for one in values)
        remedy = "Return the scores alone" if beside else ""
        raise _misuse(name, n, f"{len(values)} scores for {n} images", remedy, kind="wrong count")
    return [_number(value, place, n, name) for place, value in enumerate(values)]


def _check_form(values: Any, n: int, name: str) -> None:
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple | list):  # of NumPy, torch, JAX or pandas
        if len(shape) != 1:
            remedy = "Return it flat, as by .flatten()" if n in (0, *shape) and max(shape, default=0) == n else ""
            raise _misuse(name, n, f"{_article(values)} of shape {tuple(shape)}", remedy)
        return
    if isinstance(values, Sequence) and not isinstance(values, str | bytes | bytearray):
        return
    if values is None:
        raise _misuse(name, n, "None", "Is a return statement missing")
    if isinstance(values, Mapping):
        raise _misuse(name, n, _shown(values), "Return its values, in the order of the images")
    if isinstance(values, Set):
        raise _misuse(name, n, _shown(values), "A set has no order: return a list")
    if isinstance(values, Iterable) and not isinstance(values, str | bytes | bytearray):
        raise _misuse(name, n, _article(values), "Return list(...) of it")
    raise _misuse(name, n, _shown(values), "Return a list, also for one image")


def _number(value: Any, place: int, n: int, name: str) -> float | Score:
    if isinstance(value, Score):
        return value
    if value is None:
        remedy = "Return float('nan') for an image without a score"
        raise _misuse(name, n, f"None for image {place}", remedy)
    if isinstance(value, str | bytes | bytearray):
        raise _misuse(name, n, f"{_shown(value)} for image {place}", "Return numbers: float(text)")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        remedy = "Return the scores alone" if isinstance(value, Mapping | Sequence) else ""
        raise _misuse(name, n, f"{_shown(value)} for image {place}", remedy) from error


def _misuse(name: str, n: int, got: str, remedy: str, kind: str = "no scores") -> CallError:
    such = ", ".join(f"0.{place + 5}" for place in range(min(n, 2))) + (", ..." if n > 2 else "")
    images = f"{n} image{'' if n == 1 else 's'}"
    message = f"reward {name!r} must return one number per image, such as [{such}] for {images}; got {got}."
    message = f"{message} {remedy}{'?' if remedy.startswith('Is ') else '.'}" if remedy else message
    return CallError(Failure(kind, one_line(message), transient=False, billed=True, misuse=True))


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:  # of an object of the caller's
        text = ""
    return f"{_article(value)}, {one_line(text, _SHOWN)}" if text else _article(value)
