"""A comparison, many prompts or a draft on the page: how many of its runs are over, and what they found so far."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from zo_dno.results.markup import number
from zo_dno.results.state import ENDED, IN_PROGRESS, STOPPED
from zo_dno.watch.card import Card

_MOST_LINES = 40
_OVER = ("good", "bad")  # tones of runs that ended, or failed


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
        implausible: Number of winners whose noise is not plausible.
    """

    name: str
    runs: str
    queries: int
    first: str
    best: str
    lost: int
    implausible: int


@dataclass(frozen=True, slots=True)
class Group:
    """What the page shows of a group of runs.

    Attributes:
        kind: "comparison", "prompts" or "draft".
        state: State of all of it: "in progress", "finished" or "stopped".
        tone: Kind of the state, as of a run.
        states: Number of runs in each state.
        over: Number of runs that are over.
        planned: Number of all its runs.
        lines: A line for each reward and strategy of a comparison, or for each run.
        left_out: Number of lines that are not shown.
        warnings: Sentences on what weakens its results.
        is_resumable: Whether it was stopped before its end, or has runs that failed.
    """

    kind: str
    state: str
    tone: str
    states: tuple[tuple[str, int], ...]
    over: int
    planned: int
    lines: tuple[Line, ...]
    left_out: int
    warnings: tuple[str, ...]
    is_resumable: bool


def group_of(
    kind: str, cards: Sequence[Card], names: Sequence[str] = (), *, planned: int = 0, is_held: bool = False
) -> Group:
    """Summarise the cards of a group's runs.

    Args:
        kind: Kind of the group.
        cards: Cards of the runs that have begun.
        names: Name of each of these runs, equal for runs that differ by the seed alone; empty for one made of its card.
        planned: Number of all its runs; 0 where it is unknown.
        is_held: Whether a process works on the group.
    """
    alike: dict[str, list[Card]] = {}
    for card, name in zip(cards, names or [""] * len(cards), strict=True):
        own = f"{card.strategy} for {card.reward}" if kind == "comparison" else f"{card.title}, {card.strategy}"
        alike.setdefault(name or own, []).append(card)
    lines = [_line(name, same) for name, same in alike.items()]
    planned = max(len(cards), planned)
    states = Counter(card.state for card in cards)
    is_live = is_held or any(card.tone == "live" for card in cards)
    ended = sum(card.state in ENDED for card in cards) == planned
    state, tone = (IN_PROGRESS, "live") if is_live else ("finished", "good") if ended else (STOPPED, "idle")
    unbegun = [("not begun", planned - len(cards))] if planned > len(cards) else []
    return Group(
        kind=kind,
        state=state,
        tone=tone,
        states=(*states.most_common(), *unbegun),
        over=sum(card.tone in _OVER for card in cards),
        planned=planned,
        lines=tuple(lines[:_MOST_LINES]),
        left_out=len(lines[_MOST_LINES:]),
        warnings=tuple(_warnings(cards)),
        is_resumable=not is_live and not ended,
    )


def _line(name: str, cards: Sequence[Card]) -> Line:
    first = [card.first for card in cards if card.first is not None]
    best = [card.best for card in cards if card.best is not None]
    unit = next((card.unit for card in cards if card.unit), "")
    return Line(
        name=f"{name} ({unit})" if unit else name,
        runs=f"{sum(card.tone in _OVER for card in cards)} of {len(cards)}",
        queries=sum(card.completed for card in cards),
        first=number(fmean(first) if first else None),
        best=number(fmean(best) if best else None),
        lost=sum(card.has_lost for card in cards),
        implausible=sum(card.is_plausible is False for card in cards),
    )


def _warnings(cards: Sequence[Card]) -> list[str]:
    """Return what weakens the results of a group, a sentence each."""
    lost, odd = sum(card.has_lost for card in cards), sum(card.is_plausible is False for card in cards)
    notes = []
    if lost:
        notes.append(
            f"In {lost} of {len(cards)} runs the winner lost on a held-out reward: it may fool the reward of the "
            "search instead of being better."
        )
    if odd:
        notes.append(
            f"In {odd} of {len(cards)} runs the winner is not plausible as a draw of a Gaussian: its reward may be "
            "bought with odd noise."
        )
    return notes
