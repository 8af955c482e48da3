"""The scores of held-out rewards, for the first candidate and the winner alone."""

import logging
from contextlib import closing, nullcontext

from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.query_queue import Responses
from zo_dno.reward import Reward
from zo_dno.run.open_run import OpenRun
from zo_dno.search.archive import Archive
from zo_dno.search.recorder import take_back
from zo_dno.storage.ledger import HELD_OUT, QueryRow
from zo_dno.storage.rows import query_row
from zo_dno.types import Query, Response

log = logging.getLogger(__name__)


def held_out_scores(run: OpenRun, reward: Reward, archive: Archive) -> tuple[float | None, float | None]:
    """Score the first candidate and the winner by a held-out reward; scores of an earlier session are in the ledger.

    Raises:
        PauseError: A server asked to wait long. A resumed run sends the queries again.
    """
    assert archive.first is not None
    assert archive.best is not None
    both = {found.id: found for found in (archive.first, archive.best)}
    earlier = {(row.id, row.image): row for row in run.ledger.queries(HELD_OUT) if row.oracle == reward.name}
    queries = [
        found.query(run.prompt, arrays=reward.takes_arrays)
        for found in both.values()
        if not _is_missing(earlier.get((found.id, found.sha256)))
    ]

    def row_of(query: Query, response: Response | None) -> QueryRow:
        before = earlier.get((query.id, query.sha256))
        return query_row(HELD_OUT, -1, reward, both[query.id], query, response, before)

    def on_sent(queries: list[Query]) -> None:
        if reward.policy.keeps_everything:  # so that a call in flight when the process dies is known
            run.ledger.put([row_of(query, None) for query in queries])

    def on_scored(responses: Responses) -> None:
        for query, response in responses:
            if response.score.missing:
                what = "held-out reward %s has no score for candidate %d: %s"
                log.warning(what, reward.name, query.id, response.score.error)
        run.ledger.put([row_of(query, response) for query, response in responses if not response.cached])

    reward.begin(run.path)
    stop = run.spec.stop
    with (
        closing(run.oracles.held_out(reward)) as oracle,
        nullcontext() if stop is None else stop.telling(oracle.interrupt),
    ):
        try:
            responses = oracle.ask(queries, on_sent=on_sent, on_scored=on_scored)
        except PauseError as pause:
            take_back(run.ledger, HELD_OUT, pause, reward.name)
            raise
    if None in responses:
        log.warning("held-out reward %s was not queried: max_cost does not allow for it", reward.name)
    values = {
        query.id: None if response is None or response.score.missing else response.score.value
        for query, response in zip(queries, responses, strict=True)
    }
    return values.get(archive.first.id), values.get(archive.best.id)


def _is_missing(row: QueryRow | None) -> bool:
    """Whether an earlier session was told that there is no score, which is final."""
    return row is not None and row.status == "missing"
