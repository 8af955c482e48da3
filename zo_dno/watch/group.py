"""A comparison, many prompts or a draft on the page: how many of its runs are over, and what they found so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from zo_dno.results.markup import number
from zo_dno.watch.card import Card

_MOST_LINES = 40


@dataclass(frozen=True, slots=True)
class Line:
    """Runs of a group that differ by the seed alone, or by prompt and seed.

    Attributes:
        name: What the runs have in common.
        runs: Number of runs that are over, of those that have begun.
        queries: Completed queries of all of them.
        first: Mean reward of their first candidates.
        best: Mean reward of their best feasible candidates.
        lost: Number of winners that lost on a held-out reward.
    """

    name: str
    runs: str
    queries: int
    first: str
    best: str
    lost: int


@dataclass(frozen=True, slots=True)
class Group:
    """What the page shows of a group of runs.

    Attributes:
        kind: "comparison", "prompts" or "draft".
        states: Number of runs in each state.
        lines: A line for each reward and strategy of a comparison, or for each run.
        left_out: Number of lines that are not shown.
        warning: Sentence on winners that lost on held-out rewards; empty if none did.
    """

    kind: str
    states: tuple[tuple[str, int], ...]
    lines: tuple[Line, ...]
    left_out: int
    warning: str


def group_of(kind: str, cards: Sequence[Card]) -> Group:
    """Summarise the cards of a group's runs."""
    alike: dict[str, list[Card]] = {}
    for card in cards:
        name = f"{card.strategy} for {card.reward}" if kind == "comparison" else f"{card.title}, {card.strategy}"
        alike.setdefault(name, []).append(card)
    lines = [_line(name, same) for name, same in alike.items()]
    states = Counter(card.state for card in cards)
    return Group(kind, tuple(states.most_common()), tuple(lines[:_MOST_LINES]), len(lines[_MOST_LINES:]), _lost(cards))


def _line(name: str, cards: Sequence[Card]) -> Line:
    first = [card.first for card in cards if card.first is not None]
    best = [card.best for card in cards if card.best is not None]
    return Line(
        name=name,
        runs=f"{sum(card.tone != 'live' for card in cards)} of {len(cards)}",
        queries=sum(card.completed for card in cards),
        first=number(fmean(first) if first else None),
        best=number(fmean(best) if best else None),
        lost=sum(card.has_lost for card in cards),
    )


def _lost(cards: Sequence[Card]) -> str:
    lost = sum(card.has_lost for card in cards)
    if not lost:
        return ""
    return (
        f"In {lost} of {len(cards)} runs the winner lost on a held-out reward: the search may have exploited its own."
    )
