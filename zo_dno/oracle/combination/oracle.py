"""The oracle of a combination: each term through an oracle of its own, then the combined score."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.scales import Scale
from zo_dno.oracle.combination.term import Term
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.purse import Purse
from zo_dno.oracle.query_queue import Responses
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.storage.ledger import TERM, QueryRow
from zo_dno.storage.rows import score_of
from zo_dno.types import Query, Response, Score

TermResponses = dict[str, Response]


class OnSent(Protocol):
    """Callback before queries are sent: once for the combination, then for each term."""

    def __call__(self, queries: list[Query], term: "TermOracle | None" = None) -> None: ...


class OnScored(Protocol):
    """Callback with responses as soon as they arrive: those of each term, and at the end the combined ones."""

    def __call__(self, responses: Responses, term: "TermOracle | None" = None) -> None: ...


class TermOracle:
    """The oracle of one term, with the term's rows of earlier sessions whose combined score is still pending.

    Args:
        term: Term to score.
        oracle: Oracle of the term's reward.
    """

    def __init__(self, term: Term, oracle: Oracle) -> None:
        self.name, self.version, self.oracle = term.name, term.reward.version, oracle
        self._known: dict[tuple[int, str], QueryRow] = {}

    def recall(self, rows: Sequence[QueryRow], pending: Iterable[QueryRow]) -> None:
        """Cache the scores of the term's rows in a ledger, and keep those whose combined score is pending."""
        self.oracle.recall(rows)
        self._known = {(row.id, row.image): row for row in pending}

    def earlier(self, query: Query) -> QueryRow | None:
        """Return the row of the same query from an earlier session."""
        return self._known.get((query.id, query.sha256))

    def ask(
        self, queries: Sequence[Query], found: dict[int, TermResponses], on_sent: OnSent, on_scored: OnScored
    ) -> None:
        """Add the term's responses to `found`, up to an interruption if there is one."""
        fresh = []
        for query in queries:
            row = self.earlier(query)
            if row is not None and row.completed:
                found[query.id][self.name] = Response(score_of(row), attempts=0, cached=row.cached)
            else:
                fresh.append(query)

        def note(responses: Responses) -> None:
            on_scored(responses, self)
            for query, response in responses:
                found[query.id][self.name] = response

        try:
            self.oracle.ask(fresh, on_sent=partial(on_sent, term=self), on_scored=note)
        except PauseError as pause:
            for query in pause.unscored:
                found[query.id].pop(self.name, None)
            raise PauseError(pause.failed, pause.reason, pause.unscored, self.name, misuse=pause.misuse) from pause


class CombinedOracle:
    """Sends queries to a combination, as `Oracle` does to a reward. Each term's queries are rows of their own.

    Args:
        combination: Combination to score.
        terms: Oracles of the terms, all with one purse. Cheap terms come first: an image whose score of one term is
            missing is not sent to the others.
        purse: Purse of the terms.
    Attributes:
        scales: Scale of each term; a term without one keeps its values.
        reference: Reference point of a front, by term; empty where there is none.
    """

    def __init__(self, combination: Combination, terms: Iterable[TermOracle], purse: Purse) -> None:
        self.reward, self.purse = combination, purse
        self.scales: Mapping[str, Scale] = combination.known_scales
        self.reference: Mapping[str, float] = {}
        self._terms = sorted(terms, key=lambda term: term.oracle.policy.worst_case(1))

    def recall(self, rows: Sequence[QueryRow]) -> None:
        """Cache the scores of a ledger's rows."""
        done = {(row.stage + TERM, row.id) for row in rows if row.completed}
        for term in self._terms:
            own = [row for row in rows if row.of_term and row.oracle == term.name]
            term.recall(own, (row for row in own if (row.stage, row.id) not in done))

    @property
    def waits(self) -> bool:
        """Whether images are rendered while calls are in flight; never, since every term scores whole populations."""
        return False

    @property
    def worst_case(self) -> float:
        """The most that one query of all terms can cost, by their policies and by what was charged so far."""
        return sum(term.oracle.worst_case for term in self._terms)

    def ask(
        self,
        queries: Sequence[Query] = (),
        *,
        rendering: RenderQueue | None = None,
        on_sent: OnSent,
        on_scored: OnScored,
    ) -> list[Response | None]:
        """Score images, as `Oracle.ask` does, after all are rendered."""
        queries = [*queries, *(rendering.render_all() if rendering is not None else ())]
        found: dict[int, TermResponses] = {query.id: {} for query in queries}
        announce = partial(_announce, on_sent, set())
        waiting, stopped = list(queries), None
        for term in self._terms:
            try:
                term.ask(waiting, found, announce, on_scored)
            except (PauseError, KeyboardInterrupt) as cut_short:
                stopped = cut_short
                break
            waiting = [query for query in waiting if _scored(found[query.id].get(term.name))]
        responses = {id_: self._combined(terms) for id_, terms in found.items() if self._decided(terms)}
        on_scored([(query, responses[query.id]) for query in queries if query.id in responses])
        if stopped is not None:
            raise stopped
        return [responses.get(query.id) for query in queries]

    def interrupt(self) -> None:
        """Stop `ask`, as `Oracle.interrupt` does."""
        for term in self._terms:
            term.oracle.interrupt()

    def close(self) -> None:
        """Close the oracles of the terms."""
        for term in self._terms:
            term.oracle.close()

    def _decided(self, terms: TermResponses) -> bool:
        return len(terms) == len(self._terms) or any(response.score.missing for response in terms.values())

    def _combined(self, terms: TermResponses) -> Response:
        score: Score = self.reward.score({name: response.score for name, response in terms.items()}, self.scales)
        return Response(score, attempts=0, cached=all(response.cached for response in terms.values()))


def _announce(on_sent: OnSent, announced: set[int], queries: list[Query], term: TermOracle | None = None) -> None:
    """Report queries to a term, and before it, for the first term, to the combination."""
    new = [query for query in queries if query.id not in announced]
    if new:
        on_sent(new)
        announced.update(query.id for query in new)
    on_sent(queries, term)


def _scored(response: Response | None) -> bool:
    return response is not None and not response.score.missing
