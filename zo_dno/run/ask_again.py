"""The failed queries of earlier sessions, sent again where the caller asks for that."""

import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np

from zo_dno.errors import InputError
from zo_dno.oracle.combination.oracle import CombinedOracle, TermOracle
from zo_dno.oracle.query_queue import Responses
from zo_dno.run.open_run import OpenRun
from zo_dno.run.searches import SEARCH
from zo_dno.search.loop import Search
from zo_dno.search.recorded import found_of
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.rows import query_row
from zo_dno.types import Query, Response, array_of

log = logging.getLogger(__name__)


def failed_before(run: OpenRun) -> frozenset[int]:
    """Return the ids of the search's queries that got no score in earlier sessions."""
    rows = run.ledger.queries(SEARCH) if run.retry_failed else []
    return frozenset(row.id for row in rows if row.status == "missing")


def ask_again(run: OpenRun, search: Search, earlier: Collection[int]) -> None:
    """Send failed queries again, whose candidates may then win.

    The strategy was told that their scores are missing and is told nothing else, so that the search stays as it was.

    Args:
        run: The run.
        search: Search that has ended, with its failed queries.
        earlier: Ids of those to send again.
    Raises:
        InputError: The reward is a combination.
        PauseError: The breaker opened. What got no score stays missing.
    """
    if isinstance(run.oracle, CombinedOracle):
        raise InputError("retry_failed must be left out with a combination, whose terms are scored one by one.")
    failed = [one for one in search.failed or () if one.row.id in earlier]
    rows = {one.row.id: one.row for one in failed}
    queries, loads = [], {}
    for one in failed:
        image = search.blocks.render(search.generator, one.candidates)[one.place]
        if image.sha256 == one.row.image and not image.no_image:
            queries.append(Query(one.row.id, image.image, image.sha256, run.prompt, array=image.array))
            loads[one.row.id] = one

    def on_scored(responses: Responses, term: TermOracle | None = None) -> None:
        run.ledger.put(_scored(rows[query.id], query, response, run) for query, response in responses)

    def on_sent(sent: list[Query], term: TermOracle | None = None) -> None:
        if run.spec.keeps_everything:  # a call in flight when the process dies counts with all its attempts
            policy = run.spec.policies[run.spec.reward.name]
            worst, attempts = policy.worst_case(1), policy.attempts
            olds = [rows[query.id] for query in sent]
            run.ledger.put(replace(old, cost=old.cost + worst, attempts=old.attempts + attempts) for old in olds)

    responses = run.oracle.ask(queries, on_sent=on_sent, on_scored=on_scored)
    count = 0
    for query, response in zip(queries, responses, strict=True):
        if response is None or response.score.missing:
            continue
        count += 1
        old, one = rows[query.id], loads[query.id]
        row = _scored(old, query, response, run)
        search.counts.add(old, -1)
        search.counts.add(row)
        pixels = array_of(query.image).copy()
        z, constrained = one.candidates.z[one.place].clone(), search.objective.constrained
        found = found_of(row, z, partial(np.asarray, pixels), constrained=constrained)
        if query.array is not None:
            found = replace(found, load_array=partial(np.asarray, array_of(query.array).copy()))
        if search.archive.offer(found):
            run.artifacts.keep_image(search.stage, row.id, pixels, row.image)
    if search.status == "infeasible" and search.archive.best is not None and search.archive.best.feasible:
        search.status = "finished"
    log.info("%d of %d failed queries got a score", count, len(failed))


def _scored(old: QueryRow, query: Query, response: Response, run: OpenRun) -> QueryRow:
    """Return the row of a query that was sent again; what the strategy was told stays."""
    row = query_row(old.stage, old.population, run.spec.reward, old, query, response, old)
    return replace(row, told=old.told, told_seq=old.told_seq)
