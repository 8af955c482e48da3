"""A rating round of pairs that judges compare; every preference is stored as soon as it is known."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from zo_dno.failures import CallError
from zo_dno.judges.panel import worst_of
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tasks import SKIPPED, RatingTask

log = logging.getLogger(__name__)

Prefer = Callable[[str, str, str, str], Awaitable[int | None]]
"""(judge, first image, second image, prompt) -> index of the preferred image; None for neither."""


async def compare(
    store: RatingStore, number: int, judges: Sequence[str], encode: Callable[[bytes], str], prefer: Prefer
) -> None:
    """Let every judge compare the pairs of a round that it has not compared yet.

    A pair whose request fails permanently counts as undecided, unless all requests to that judge fail.

    Args:
        store: Ratings of the run.
        number: Number of the round.
        judges: Names of the judges; each compares every pair.
        encode: Function that encodes a PNG file for a request.
        prefer: Function that asks a judge which of two images it prefers.
    Raises:
        CallError: Requests failed that may succeed later, or all requests to a judge. The other preferences are stored.
    """
    open_pairs = [(judge, task) for judge in judges for task in store.open_tasks(number, judge)]
    files = {name: store.png(name) for _, task in open_pairs for name in task.shown}
    encoded = await asyncio.to_thread(lambda: {name: encode(file) for name, file in files.items() if file})

    async def one(judge: str, task: RatingTask) -> None:
        first, second = (encoded.get(name) for name in task.shown)
        winner = await prefer(judge, first, second, task.prompt) if first and second else None
        store.rate(judge, task.id, SKIPPED if winner is None else task.shown[winner])

    outcomes = await asyncio.gather(*(one(*pair) for pair in open_pairs), return_exceptions=True)
    failed = [(*pair, error) for pair, error in zip(open_pairs, outcomes, strict=True) if error is not None]
    _raise_if_fatal(failed, [judge for judge, _ in open_pairs])
    for judge, task, error in failed:
        log.warning("%s could not compare two images, which counts as undecided: %s", judge, error)
        store.rate(judge, task.id, SKIPPED)


def _raise_if_fatal(failed: Sequence[tuple[str, RatingTask, BaseException]], judges: Sequence[str]) -> None:
    paid = len(failed) < len(judges)
    passing = [error for *_, error in failed if not isinstance(error, CallError) or error.failure.transient]
    if passing:
        raise worst_of(passing, paid=paid)
    for judge in dict.fromkeys(judges):
        of_judge = [error for name, _, error in failed if name == judge]
        if len(of_judge) == judges.count(judge):
            raise worst_of(of_judge, paid=paid)
