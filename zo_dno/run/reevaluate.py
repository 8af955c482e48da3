"""The re-evaluation of a run's best candidates, where the reward is noisy."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import TermOracle
from zo_dno.oracle.query_queue import Responses
from zo_dno.run.open_run import OpenRun
from zo_dno.search.archive import Found
from zo_dno.search.loop import Search
from zo_dno.search.reevaluation import Reevaluation
from zo_dno.search.replay import Replay
from zo_dno.storage.ledger import REPEAT
from zo_dno.storage.rows import query_row
from zo_dno.types import Query, Response


def reevaluate(run: OpenRun, search: Search, rest: Replay | None) -> Reevaluation | None:
    """Score the best candidates again, and let the one with the best mean win.

    A reward that proves to be exact needs no re-evaluation: the search then gets the queries that were kept back.

    Args:
        run: The run.
        search: Search that has spent the other queries.
        rest: Replay of what an earlier session searched after its own re-evaluation.
    Returns:
        The re-evaluation; None where the search did not come to it.
    """
    if search.stopped_by != "queries" or not run.spec.kept_back:
        return None
    if len(search.archive.contenders) < 2:
        _search_on(search, rest, run.spec.kept_back)
        return None
    budget, found = run.spec.kept_back, {one.id: one for one in search.archive.contenders}
    reevaluation = Reevaluation({one.id: one.reward for one in found.values() if one.reward is not None}, budget)
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
        search.archive.promote(replace(found[first.id], reward=first.mean, answers=first.answers, error=first.error))
    return reevaluation


def _search_on(search: Search, rest: Replay | None, queries: int) -> None:
    """Spend queries that were kept back on the search."""
    search.stopped_by = None
    if rest is not None:
        rest.advance()
    search.limits = replace(search.limits, queries=search.limits.queries + queries)
    search.run()


def _score_again(run: OpenRun, search: Search, reevaluation: Reevaluation, found: dict[int, Found]) -> None:
    repeats: Counter[int] = Counter()
    while wanted := reevaluation.wanted():
        repeats.update(wanted)
        queries = [Query(id_, found[id_].image, found[id_].sha256, run.prompt, repeat=repeats[id_]) for id_ in wanted]
        responses = _responses(run, queries, found)
        reevaluation.tell(
            {query.id: one.score.value for query, one in zip(queries, responses, strict=True) if one is not None}
        )
        if None in responses:
            search.stopped_by = "cost"
            return


def _responses(run: OpenRun, queries: list[Query], found: dict[int, Found]) -> list[Response | None]:
    """Send queries; where they are expensive, they are in the ledger before they leave."""

    def write(responses: Iterable[tuple[Query, Response | None]]) -> None:
        rows = [
            query_row(REPEAT, -1, run.spec.reward, found[query.id], query, response)
            for query, response in responses
            if response is None or not response.cached
        ]
        run.ledger.put(rows)

    def on_sent(queries: list[Query], term: TermOracle | None = None) -> None:
        if run.spec.keeps_everything:
            write((query, None) for query in queries)

    def on_scored(responses: Responses, term: TermOracle | None = None) -> None:
        write(responses)

    return run.oracle.ask(queries, on_sent=on_sent, on_scored=on_scored)
