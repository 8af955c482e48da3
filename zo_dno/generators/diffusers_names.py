"""Classes of diffusers by their names."""

import difflib
from typing import Any

from zo_dno.errors import InputError, given


def class_named(option: str, name: str, ending: str) -> Any:
    """Return a class of diffusers.

    Args:
        option: Name of the option that names it, for messages.
        name: Name of the class.
        ending: Ending of the names of such classes, such as "Scheduler".
    Raises:
        InputError: There is no such class; the message suggests the nearest one.
    """
    import diffusers

    known = [one for one in dir(diffusers) if one.endswith(ending) and one != f"Diffusion{ending}"]
    if name in known:
        return getattr(diffusers, name)
    near = _nearest(name, known)
    hint = f"Did you mean {near!r}?" if near else f"Give the name of a class of diffusers that ends in {ending}."
    raise InputError(f"{option} {given(name)} is unknown. {hint}")


def _nearest(name: str, known: list[str]) -> str | None:
    plain = {_plain(one): one for one in sorted(known)}
    wanted = _plain(name)
    within = sorted((one for one in plain if wanted and wanted in one), key=lambda one: (one.find(wanted), len(one)))
    close = within or difflib.get_close_matches(wanted[:200], plain, n=1, cutoff=0.5)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
