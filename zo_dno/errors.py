"""The errors that zo-dno raises on purpose, and the message for an unknown name."""

import difflib
from collections.abc import Iterable


class ZoDnoError(Exception):
    """Base of every error raised on purpose by zo-dno."""


class InputError(ZoDnoError, ValueError):
    """A mistake of the caller; the message says what is expected, what was got and the remedy."""


class PromptError(InputError):
    """A prompt that the model does not understand."""


class AskTellError(InputError):
    """A `tell` that does not fit the `ask` before it."""


class RunError(ZoDnoError):
    """A run without a result; what it found so far is in its folder."""


class StorageError(RunError):
    """A file that could not be written, for lack of space or permissions; what was written before is safe."""


def given(value: object, longest: int = 200) -> str:
    """Return what a caller gave as a message quotes it, in one line that is cut at `longest` characters."""
    text = repr(value) if isinstance(value, str | bytes) else " ".join(repr(value).split())  # arrays take several lines
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def sentence(text: str) -> str:
    """End a reason of others, which may end with a full stop or none, with one."""
    text = text.rstrip()
    return text if text.endswith(("?", "!")) else f"{text.rstrip('.')}."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for `name`, which is not one of the `known` names of this `kind`."""
    known = sorted(known)
    close = difflib.get_close_matches(name[:200], known, n=1, cutoff=0.5)
    known_ones = f"Known: {', '.join(known)}." if known else "There is none: leave it out."
    hint = f"Did you mean {close[0]!r}?" if close else known_ones
    return InputError(f"{kind} {given(name)} is unknown. {hint}")
