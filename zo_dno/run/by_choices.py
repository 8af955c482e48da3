"""The verdict on a run whose scores come from choices: the winner by all of them together."""

from collections.abc import Sequence
from dataclasses import replace

from zo_dno.judges.plackett_luce import Strength, overall
from zo_dno.reward import ScoresByChoices
from zo_dno.search.archive import Found
from zo_dno.search.choices import choices_among
from zo_dno.search.loop import Search
from zo_dno.types import Choice, Order


def by_strength(search: Search) -> list[Found]:
    """Return the contenders of a search, the best first: by all choices where it scores by choices, else by score."""
    found = _strengths(_choices(search), search)
    if not found:
        return list(search.archive.contenders)
    contenders = [one for one in search.archive.contenders if one.id in found]
    return sorted(contenders, key=lambda one: (-found[one.id].value, one.id))


def settle_by_choices(search: Search) -> int:
    """Let the contender win that is strongest by all choices, and return how many choices there are.

    One click can have given an image its score. By all choices, and with one prior for all images, an image that was
    chosen once does not come before another that it was chosen over and that was chosen ten times.
    """
    choices = _choices(search)
    found = _strengths(choices, search)
    contenders = [one for one in search.archive.contenders if one.id in found and bool(one.z.isfinite().all())]
    if contenders:
        best = max(contenders, key=lambda one: (found[one.id].value, -one.id))
        times = sum(best.id in (*one.ordered, *one.rest) for one in choices)
        strength = found[best.id]
        search.archive.promote(replace(best, reward=strength.value, n_scores=times, error=strength.error))
    return len(choices)


def _choices(search: Search) -> list[Choice]:
    """Return all choices behind the scores of a search."""
    if not isinstance(search.oracle.reward, ScoresByChoices):
        return []
    populations = search.ledger.populations(search.stage)
    choices = [one for row in populations for one in search.ledger.choices(search.stage, row.number) or ()]
    for population in search.pending:  # of which a part is scored
        choices += choices_among(search.oracle.reward, search.ledger, search.stage, population)
    return choices


def _strengths(choices: Sequence[Choice], search: Search) -> dict[int, Strength]:
    first = search.archive.first
    return fitted(choices, first.id) if choices and first is not None else {}


def fitted(choices: Sequence[Choice], first: int) -> dict[int, Strength]:
    """Fit the strengths of all candidates in choices; the first candidate of the run has 0 where it is one of them."""
    orders = [
        Order(tuple(map(str, (*one.ordered, *one.rest))), tuple(map(str, one.ordered)), one.level) for one in choices
    ]
    return {int(name): one for name, one in overall(orders, str(first)).items()}
