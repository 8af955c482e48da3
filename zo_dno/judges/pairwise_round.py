"""Having judges compare what is open in a round of comparisons; each answer is on the disk before the next counts."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from zo_dno.failures import CallError
from zo_dno.judges.panel import worst_of
from zo_dno.judges.rating_store import Ratings
from zo_dno.judges.rating_tasks import SKIPPED, Task

log = logging.getLogger(__name__)

Prefer = Callable[[str, str, str, str], Awaitable[int | None]]
"""(judge, image, image, prompt) -> place of the better one; None for neither."""


async def compare(
    ratings: Ratings, number: int, judges: Sequence[str], encode: Callable[[bytes], str], prefer: Prefer
) -> None:
    """Ask every judge about the pairs of a round that it has not answered.

    A pair about which a call fails for good counts as undecided, unless all calls of its judge do.

    Args:
        ratings: of the run.
        number: of the round.
        judges: each answers every pair.
        encode: turns a PNG file into what is sent.
        prefer: asks a judge about a pair.
    Raises:
        CallError: calls failed that may succeed later, or all calls of a judge. What others answered is kept.
    """
    asked = [(judge, task) for judge in judges for task in ratings.open_tasks(number, judge)]
    files = {name: ratings.png(name) for _, task in asked for name in task.shown}
    sent = await asyncio.to_thread(lambda: {name: encode(file) for name, file in files.items() if file})

    async def one(judge: str, task: Task) -> None:
        first, second = (sent.get(name) for name in task.shown)
        winner = await prefer(judge, first, second, task.prompt) if first and second else None
        ratings.answer(judge, task.id, SKIPPED if winner is None else task.shown[winner])

    outcomes = await asyncio.gather(*(one(*pair) for pair in asked), return_exceptions=True)
    failed = [(*pair, error) for pair, error in zip(asked, outcomes, strict=True) if error is not None]
    _raise_what_matters(failed, [judge for judge, _ in asked])
    for judge, task, error in failed:
        log.warning("%s could not compare two images, which counts as undecided: %s", judge, error)
        ratings.answer(judge, task.id, SKIPPED)


def _raise_what_matters(failed: Sequence[tuple[str, Task, BaseException]], asked: Sequence[str]) -> None:
    paid = len(failed) < len(asked)
    passing = [error for *_, error in failed if not isinstance(error, CallError) or error.failure.transient]
    if passing:
        raise worst_of(passing, paid=paid)
    for judge in dict.fromkeys(asked):
        of_judge = [error for name, _, error in failed if name == judge]
        if len(of_judge) == asked.count(judge):
            raise worst_of(of_judge, paid=paid)
