"""Ratings in words: how often an image was preferred, and how many clicks are left."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean

from zo_dno.judges.rated_run import Plan
from zo_dno.judges.rating_tasks import Progress, Rating


@dataclass(frozen=True, slots=True)
class RatingRound:
    """A rating round, as far as the work of raters is concerned.

    Attributes:
        images: Names of its new images.
        needed: Number of ratings that it needs.
        together: Number of images that one rating task shows; 0 without any task.
    """

    images: tuple[str, ...]
    needed: int
    together: int


@dataclass(frozen=True, slots=True)
class Work:
    """The raters' work in a run.

    Attributes:
        given: Number of ratings given.
        left: Number of ratings that are left in the newest round and, if the plan is known, in later ones.
        planned: Whether later rounds are counted.
        estimated: Whether a part of `left` is estimated from the newest round.
        at_most: Whether there may be fewer, since other rewards hide images.
        raters: Number of people who gave a rating in the run.
        duel: Number of ratings of `left` that come after the search.
        is_closing: Whether the search is over, and the best image is compared with its rivals.
        is_ladder: Whether the search has not begun, and its distance from what is liked is chosen.
    """

    given: int
    left: int
    planned: bool = False
    estimated: bool = False
    at_most: bool = False
    raters: int = 0
    duel: int = 0
    is_closing: bool = False
    is_ladder: bool = False

    def __str__(self) -> str:
        clicks = f"{self.left} click{'' if self.left == 1 else 's'} left"
        if self.is_ladder:
            clicks += ", to choose a distance" if self.left else ""
        elif self.is_closing:
            clicks += ", to check the winner" if self.left else ""
        elif self.planned:
            clicks = f"{'at most ' if self.at_most else ''}{'about ' if self.estimated else ''}{clicks}"
        else:
            clicks += " in this round"
        return f"{clicks}, for all raters together" if self.raters > 1 else clicks


def work_of(
    rounds: Sequence[RatingRound],
    progress: Progress,
    plan: Plan | None,
    *,
    repeats: float = 0.0,
    duel: int = 0,
    is_closing: bool = False,
) -> Work:
    """Count the ratings of a run that are given and left.

    Args:
        rounds: Rating rounds, the newest last.
        progress: Progress of the newest round.
        plan: Planned number of images, if it is known.
        repeats: Number of repeats for each rating.
        duel: Number of choices after the search.
        is_closing: Whether the newest round is that of these choices, which `rounds` leaves out.
    """
    if not rounds:
        return Work(0, 0)
    if is_closing:
        given = sum(one.needed for one in rounds) + progress.given
        left = max(0, progress.needed - progress.given)
        return Work(given, left, raters=progress.raters, is_closing=True)
    newest = rounds[-1]
    given = sum(one.needed for one in rounds[:-1]) + progress.given
    left = max(0, newest.needed - progress.given)
    if plan is None or not newest.images:
        return Work(given, left, raters=progress.raters)
    later = max(0, plan.images - sum(len(one.images) for one in rounds))
    left += ceil(later / len(newest.images) * _needed_later(newest, is_first=len(rounds) == 1))
    more = round(repeats * left) + duel
    estimated, at_most = later > 0 or more > 0, later > 0 and not plan.exact
    return Work(
        given, left + more, planned=True, estimated=estimated, at_most=at_most, raters=progress.raters, duel=duel
    )


def awaited(progress: Progress, work: Work, *, searching: bool = True) -> str:
    """Say what a rater without a task waits for.

    Args:
        progress: Progress of the newest round.
        work: Work that is left.
        searching: Whether the search is running.
    """
    if progress.rating_round < 0:
        return "The search is rendering the first images" if searching else "Nothing to rate yet"
    if not progress.complete:
        return "Other raters have the last images"
    if not searching:
        return "Thank you. The search is not running now"
    if work.is_ladder:
        return "Thank you. The search is rendering the first images"
    if work.planned and work.left == work.duel > 0:
        return "Thank you. The search is coming to its end, and a few more choices will check its winner"
    if (work.planned or work.is_closing) and not work.left:
        return "Thank you. That was the last one"
    return "Thank you. The search is rendering the next images"


def _needed_later(newest: RatingRound, *, is_first: bool) -> float:
    """Estimate the ratings of a later round of as many images; unlike the first, it shows earlier images as well."""
    if not is_first or newest.together < 2:
        return newest.needed
    new = len(newest.images)
    if newest.together == 2:
        return newest.needed * (new + 2) / new
    return ceil(newest.needed * (new + 1) / new * newest.together / (newest.together - 1))  # the best is in every task


def preferred(ratings: Sequence[Rating], image: str) -> tuple[int, int]:
    """Count the choices that showed an image: (those in which it was the best, or liked, all of them)."""
    orders = [one.order for one in ratings if one.order is not None and image in one.order.shown]
    return sum(image in (order.ranked if order.level else order.ranked[:1]) for order in orders), len(orders)


def against(ratings: Sequence[Rating], image: str, other: str) -> tuple[int, int]:
    """Count the choices between two images that were shown together: (won by `image`, won by either)."""
    won = lost = 0
    for one in ratings:
        if one.order is None or not {image, other} <= set(one.order.shown):
            continue
        ranked = [name for name in one.order.ranked if name in (image, other)]
        if one.order.level and len(ranked) == 2:
            continue
        ahead = next(iter(ranked), None)
        won, lost = won + (ahead == image), lost + (ahead == other)
    return won, won + lost


def in_words(ratings: Sequence[Rating], image: str) -> str:
    """Say in a few words how an image was rated: "chosen in 5 of 7", or "8.5 of 10"; empty if it was not."""
    values = [one.value for one in ratings if one.value is not None and one.shown[0] == image]
    if values:
        return f"{fmean(values):.1f} of 10"
    chosen, shown = preferred(ratings, image)
    return f"{'liked' if _of_likes(ratings) else 'chosen'} in {chosen} of {shown}" if shown else ""


def sentences(ratings: Sequence[Rating], first: str, best: str) -> list[str]:
    """Say how the winner of a run was rated, for people who do not know the scores."""
    if first == best:
        return ["No image was liked more than the first one."]
    values = [
        [one.value for one in ratings if one.value is not None and one.shown[0] == name] for name in (best, first)
    ]
    if values[0]:
        said = [f"The best image got {fmean(values[0]):.1f} of 10{_of_several(values[0])}"]
        said += [f"the first one {fmean(values[1]):.1f}{_of_several(values[1])}"] if values[1] else []
        lucky = (
            "" if len(values[0]) > 1 else " One rating each leaves room for luck: the highest of many is in part lucky."
        )
        return [f"{', '.join(said)}.{lucky}"]
    chosen, shown = preferred(ratings, best)
    was, times = ("liked", "task") if _of_likes(ratings) else ("preferred", "choice")
    found = (
        [f"The best image was {was} in {chosen} of {shown} {times}{'' if shown == 1 else 's'} that showed it."]
        if shown
        else []
    )
    won, both = against(ratings, best, first)
    return [*found, f"Beside the first image it was preferred in {won} of {both}."] if both else found


def _of_likes(ratings: Sequence[Rating]) -> bool:
    return any(one.order is not None and one.order.level for one in ratings)


def _of_several(values: Sequence[float]) -> str:
    return f" in the mean of {len(values)} ratings" if len(values) > 1 else ""
