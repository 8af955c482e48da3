"""The re-evaluation of a run's best candidates, where the reward is noisy."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import TermOracle
from zo_dno.oracle.query_queue import Responses
from zo_dno.run.adaptations import turned_noisy
from zo_dno.run.open_run import OpenRun
from zo_dno.search.archive import Found
from zo_dno.search.loop import Search
from zo_dno.search.recorder import take_back
from zo_dno.search.reevaluation import Reevaluation
from zo_dno.search.replay import Replay
from zo_dno.storage.ledger import REPEAT, QueryRow
from zo_dno.storage.rows import query_row
from zo_dno.types import Query, Response


def reevaluate(run: OpenRun, search: Search, rest: Replay | None) -> Reevaluation | None:
    """Score the best candidates again, and let the one with the best mean win.

    A reward that proves to be exact needs no re-evaluation: the search then gets the queries that were kept back. They
    are kept back for a judge whose server could refuse the temperature, too.

    Args:
        run: The run.
        search: Search that has spent the other queries.
        rest: Replay of what an earlier session searched after its own re-evaluation.
    Returns:
        The re-evaluation; None where the search did not come to it.
    """
    if search.stopped_by != "queries" or search.status == "interrupted" or not run.spec.kept_back:
        return None
    if search.status == "infeasible" and run.manifest.rules < 2:
        return None
    exact = run.spec.options.repeats is None and not (run.spec.reward.noisy or turned_noisy(run.spec.reward))
    if exact or len(search.archive.contenders) < 2:
        _search_on(search, rest, run.spec.kept_back)
        return None
    budget, found = run.spec.kept_back, {one.id: one for one in search.archive.contenders}
    scores = {one.id: one.reward for one in found.values() if one.reward is not None}
    reevaluation = Reevaluation(scores, budget, equals_are_exact=run.manifest.rules < 3)
    try:
        _score_again(run, search, reevaluation, found)
    except PauseError as pause:
        search.status, search.pause = "paused", pause
    except KeyboardInterrupt:
        search.status = "interrupted"
    if reevaluation.is_exact and search.status == "finished":
        _search_on(search, rest, budget - reevaluation.spent)
    elif reevaluation.standings:
        first = reevaluation.standings[0]
        search.archive.promote(replace(found[first.id], reward=first.mean, n_scores=first.n_scores, error=first.error))
    return reevaluation


def _search_on(search: Search, rest: Replay | None, queries: int) -> None:
    """Spend queries that were kept back on the search."""
    search.status, search.stopped_by = "finished", None  # it may be "infeasible", which further queries can change
    if rest is not None:
        rest.advance()
    search.limits = replace(search.limits, queries=search.limits.queries + queries)
    search.run()


def _score_again(run: OpenRun, search: Search, reevaluation: Reevaluation, found: dict[int, Found]) -> None:
    again, repeats = _Repeats(run, found), Counter[int]()
    while wanted := reevaluation.wanted():
        repeats.update(wanted)
        arrays = run.spec.reward.takes_arrays
        queries = [found[id_].query(run.prompt, arrays=arrays, repeat=repeats[id_]) for id_ in wanted]
        scores = again.ask(queries)
        reevaluation.tell({id_: value for id_, value in zip(wanted, scores, strict=True) if value is not None})
        if None in scores:
            search.stopped_by = "cost"
            return


class _Repeats:
    """Further queries for candidates; where they are expensive, they are in the ledger before they leave.

    Args:
        run: The run.
        found: Candidates by id.
    """

    def __init__(self, run: OpenRun, found: dict[int, Found]) -> None:
        self._run, self._found = run, found
        rows = run.ledger.queries(REPEAT)
        self._earlier = {(row.id, row.repeat, row.image): row for row in rows if row.oracle == run.spec.reward.name}

    def ask(self, queries: list[Query]) -> list[float | None]:
        """Return a score for each query: NaN where it is missing, None where the money does not suffice.

        Raises:
            PauseError: Every recent call failed; such failures do not count, and a resumed run sends the queries again.
        """
        rows = [self._earlier_row(query) for query in queries]
        missing = [row is not None and row.status == "missing" for row in rows]  # of an earlier session, and final
        asked = [query for query, is_missing in zip(queries, missing, strict=True) if not is_missing]
        try:
            responses = iter(self._run.oracle.ask(asked, on_sent=self._on_sent, on_scored=self._on_scored))
        except PauseError as pause:
            take_back(self._run.ledger, REPEAT, pause, self._run.spec.reward.name)
            raise
        found = [None if is_missing else next(responses) for is_missing in missing]
        return [
            math.nan if is_missing else None if response is None else response.score.value
            for is_missing, response in zip(missing, found, strict=True)
        ]

    def _earlier_row(self, query: Query) -> QueryRow | None:
        return self._earlier.get((query.id, query.repeat, query.sha256))

    def _write(self, responses: Iterable[tuple[Query, Response | None]]) -> None:
        rows = [
            query_row(
                *(REPEAT, -1, self._run.spec.reward, self._found[query.id]), query, response, self._earlier_row(query)
            )
            for query, response in responses
            if response is None or not response.cached or response.score.missing
        ]
        self._run.ledger.put(rows)

    def _on_sent(self, queries: list[Query], term: TermOracle | None = None) -> None:
        if self._run.spec.keeps_everything:
            self._write((query, None) for query in queries)

    def _on_scored(self, responses: Responses, term: TermOracle | None = None) -> None:
        self._write(responses)
