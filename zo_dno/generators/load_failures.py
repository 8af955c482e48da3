"""Failures of loading, each as one line with its remedy."""

from collections.abc import Iterator
from contextlib import contextmanager

from zo_dno.errors import InputError, ZoDnoError, given
from zo_dno.failures import one_line
from zo_dno.generators.memory import is_out_of_memory
from zo_dno.generators.torchvision_check import torchvision_trouble

_LONGEST_REASON = 300  # characters


@contextmanager
def loading(option: str, name: object, remedy: str) -> Iterator[None]:
    """Turn what the libraries raise inside the block into one line.

    Args:
        option: Name of the option that is loaded.
        name: Its value.
        remedy: Sentence that says what to give instead.
    Raises:
        InputError: Something could not be loaded.
    """
    try:
        yield
    except ZoDnoError:
        raise
    except Exception as error:  # the libraries have errors of their own, derived from nothing else
        if is_out_of_memory(error):
            raise
        trouble = torchvision_trouble()
        why = reason_of(error) if trouble is None else trouble.reason
        what = remedy if trouble is None else trouble.remedy
        raise InputError(f"{option} {given(str(name))} could not be loaded: {why}. {what}") from error


def reason_of(error: BaseException) -> str:
    """Return the first line of an error with words in it, and the next one after a colon, without the full stop."""
    lines = [line for text in str(error).splitlines() if (line := text.strip())] or [type(error).__name__]
    told = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return one_line(told.rstrip(".:"), _LONGEST_REASON)
