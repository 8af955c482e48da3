"""Rating tasks: images shown together, and the ratings that fit them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from zo_dno.errors import ZoDnoError
from zo_dno.types import Order

Mode = Literal["rate", "compare", "best", "rank", "like"]
TaskMode = Literal[Mode, "distance"]
"""A mode of a reward, or the choice of a distance before the search."""
SKIPPED = "skip"
HEADINGS: dict[TaskMode, str] = {
    "rate": "How good is it?",
    "compare": "Which is better?",
    "best": "Which is the best?",
    "rank": "Rank them, the best first",
    "like": "Mark all that you like, or none",
    "distance": "How far may the search go from what you like?",
}


class RatingError(ZoDnoError):
    """A rating that cannot be accepted; the message is for the rater."""


@dataclass(frozen=True, slots=True)
class RatingTask:
    """One image to rate with a number, or several to choose from or to rank.

    Attributes:
        id: Primary key of the task in the store.
        mode: Kind of rating.
        shown: Names of the images.
        prompt: Prompt that the images were rendered for.
    """

    id: int
    mode: TaskMode
    shown: tuple[str, ...]
    prompt: str


@dataclass(frozen=True, slots=True)
class Rating:
    """One rater's rating of one task; a rater who skipped the task gave neither a value nor an order.

    Attributes:
        task: Id of the task.
        shown: Names of the images.
        rater: Id of the rater.
        value: Number from 0 to 10, in mode "rate".
        order: Choice, ranking, or liked images, in the other modes.
    """

    task: int
    shown: tuple[str, ...]
    rater: str
    value: float | None
    order: Order | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the newest rating round.

    Attributes:
        rating_round: Number of the round; -1 before the first.
        given: Number of ratings given.
        needed: Number of ratings needed.
        mine: Number of ratings that this rater gave.
        raters: Number of people who gave a rating in this run.
    """

    rating_round: int
    given: int
    needed: int
    mine: int
    raters: int

    @property
    def complete(self) -> bool:
        """Whether all ratings of the round are given."""
        return self.given >= self.needed


def encode_rating(rating: str | float | Sequence[str], mode: TaskMode, shown: list[str]) -> str:
    """Check a rating, and encode it for the store.

    Raises:
        RatingError: The rating does not fit the task.
    """
    if rating == SKIPPED:
        return SKIPPED
    if mode == "rate":
        if not isinstance(rating, int | float) or not 0 <= rating <= 10:
            raise RatingError("A rating is a number from 0 to 10.")
        return json.dumps(rating)
    if mode == "like":
        liked = set(rating) if isinstance(rating, Sequence) and not isinstance(rating, str) else {rating}
        if not liked <= set(shown):
            raise RatingError("Only images that are shown can be marked.")
        return json.dumps([name for name in shown if name in liked])
    needed = len(shown) if mode == "rank" else 1
    ranked = [rating] if isinstance(rating, str) else rating if isinstance(rating, Sequence) else []
    if len(ranked) != needed or len(set(ranked)) != needed or not set(ranked) <= set(shown):
        rule = "Every image needs a place of its own" if mode == "rank" else "One of the images must be chosen"
        raise RatingError(f"{rule}.")
    return json.dumps(list(ranked))


def decode_rating(task: int, rater: str, encoded: str, mode: TaskMode, shown: str) -> Rating:
    """Decode a rating of the store."""
    names = tuple(json.loads(shown))
    if encoded == SKIPPED:
        return Rating(task, names, rater, None, None)
    if mode == "rate":
        return Rating(task, names, rater, float(json.loads(encoded)), None)
    return Rating(task, names, rater, None, Order(names, tuple(json.loads(encoded)), level=mode == "like"))
