"""What raters are asked, and what they may say."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from zo_dno.errors import ZoDnoError
from zo_dno.judges.plackett_luce import Order

Mode = Literal["rate", "compare", "best", "rank"]
SKIPPED = "skip"
QUESTIONS: dict[Mode, str] = {
    "rate": "How good is it?",
    "compare": "Which is better?",
    "best": "Which is the best?",
    "rank": "Rank them, the best first",
}


class RatingError(ZoDnoError):
    """An answer that cannot be taken; the message is for the rater."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to say: a number for an image, or an order of several.

    Attributes:
        id: of the task.
        mode: how it is answered.
        shown: names of the images.
        prompt: that they were drawn for.
    """

    id: int
    mode: Mode
    shown: tuple[str, ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `value` is a rating, `order` a choice; a rater who skipped gave neither."""

    task: int
    shown: tuple[str, ...]
    rater: str
    value: float | None
    order: Order | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the newest round is.

    Attributes:
        round: its number; -1 before the first.
        answered: votes that are there.
        asked: votes that are needed.
        mine: of those there, the rater's.
        raters: people who gave an answer in this run.
    """

    round: int
    answered: int
    asked: int
    mine: int
    raters: int

    @property
    def complete(self) -> bool:
        """Nothing is left to say in it."""
        return self.answered >= self.asked


def checked(said: str | float | Sequence[str], mode: Mode, shown: list[str]) -> str:
    """Check what a rater says, and write it as it is kept.

    Raises:
        RatingError: it does not fit the question.
    """
    if said == SKIPPED:
        return SKIPPED
    if mode == "rate":
        if not isinstance(said, int | float) or not 0 <= said <= 10:
            raise RatingError("A rating is a number from 0 to 10.")
        return json.dumps(said)
    needed = len(shown) if mode == "rank" else 1
    ranked = [said] if isinstance(said, str) else said if isinstance(said, Sequence) else []
    if len(ranked) != needed or len(set(ranked)) != needed or not set(ranked) <= set(shown):
        rule = "Every image needs a place of its own" if mode == "rank" else "One of the images must be chosen"
        raise RatingError(f"{rule}.")
    return json.dumps(list(ranked))


def said_of(task: int, rater: str, said: str, mode: Mode, shown: str) -> Said:
    """Read what is kept of an answer."""
    names = tuple(json.loads(shown))
    if said == SKIPPED:
        return Said(task, names, rater, None, None)
    if mode == "rate":
        return Said(task, names, rater, float(json.loads(said)), None)
    return Said(task, names, rater, None, Order(names, tuple(json.loads(said))))
