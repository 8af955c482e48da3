"""The errors a caller can meet, and the one way to say that a name is unknown."""

import difflib
from collections.abc import Iterable


class ZoDnoError(Exception):
    """Base of every error raised on purpose by zo-dno."""


class InputError(ZoDnoError, ValueError):
    """A caller's mistake: the message says what, what was got, what is expected and the remedy."""


class PromptError(InputError):
    """A prompt that the model cannot understand."""


class AskTellError(InputError):
    """`tell` does not fit what was asked."""


class RunError(ZoDnoError):
    """A run that could not reach a result; what it found so far is in its folder."""


class StorageError(RunError):
    """The run folder could not be written, for want of room or rights; what was written before is safe."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for `name`, which is not one of the `known` names of this `kind`."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    return InputError(f"{kind} {name!r} is unknown. {hint}")
