"""Choices among candidates as the ledger keeps them: lists of ids, which are checked when they are read."""

from collections.abc import Collection, Sequence
from typing import Any

from zo_dno.types import Choice


def written(choices: Sequence[Choice]) -> list[Any]:
    """Return choices as lists of ids."""
    return [one.lists for one in choices]


def read(found: Any, known: Collection[int]) -> list[Choice]:
    """Read choices among known candidates.

    Raises:
        ValueError: The lists are none of such choices.
    """
    try:
        choices = [Choice.of_lists(lists) for lists in found]
    except (TypeError, ValueError):
        raise ValueError("choices are no lists of ids") from None
    for choice in choices:
        shown = (*choice.ordered, *choice.rest)
        ids = {id_ for id_ in shown if isinstance(id_, int) and not isinstance(id_, bool)}
        if not choice.stages or len(ids) < len(shown) or not ids <= set(known):
            raise ValueError("choices are no lists of ids")
    return choices
