"""Asking a combination: part after part, each through an oracle of its own, and then the one score."""

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
    """Is called before questions leave: to the combination, and then to each part of it."""

    def __call__(self, queries: list[Query], term: "TermOracle | None" = None) -> None: ...


class OnScored(Protocol):
    """Is called with answers as soon as they are there: of each part, and in the end of the combination."""

    def __call__(self, responses: Responses, term: "TermOracle | None" = None) -> None: ...


class TermOracle:
    """Asks one part, and knows what it said in earlier sessions of those who wait for the combination's score.

    Args:
        part: to ask.
        oracle: of its reward.
    """

    def __init__(self, term: Term, oracle: Oracle) -> None:
        self.name, self.version, self.oracle = term.name, term.reward.version, oracle
        self._known: dict[tuple[int, str], QueryRow] = {}

    def recall(self, rows: Sequence[QueryRow], waiting: Iterable[QueryRow]) -> None:
        """Remember the part's rows in a ledger, and those of them that are still waited for by themselves."""
        self.oracle.recall(rows)
        self._known = {(row.id, row.image): row for row in waiting}

    def earlier(self, query: Query) -> QueryRow | None:
        """Return the row of the same question from an earlier session."""
        return self._known.get((query.id, query.sha256))

    def ask(
        self, queries: Sequence[Query], found: dict[int, TermResponses], on_sent: OnSent, on_scored: OnScored
    ) -> None:
        """Put the part's answers into `found`, also where this is cut short."""
        fresh = []
        for query in queries:
            row = self.earlier(query)
            if row is not None and row.completed:
                found[query.id][self.name] = Response(score_of(row), attempts=0, cached=row.cached)
            else:
                fresh.append(query)

        def note(responses: Responses) -> None:
            on_scored(responses, self)
            for query, answer in responses:
                found[query.id][self.name] = answer

        try:
            self.oracle.ask(fresh, on_sent=partial(on_sent, term=self), on_scored=note)
        except PauseError as pause:
            for query in pause.unscored:
                found[query.id].pop(self.name, None)
            raise PauseError(pause.failed, pause.reason, pause.unscored, self.name) from pause


class CombinedOracle:
    """Asks a combination as `Oracle` asks a reward; what is asked of the parts is money and rows of their own.

    Args:
        combination: to ask.
        parts: an oracle each, all with one purse. The cheap ones are asked first: who has no score from one of them is
            not asked about any further.
        purse: theirs.
    Attributes:
        scales: of the parts; those that are not known yet leave the values as they are.
    """

    def __init__(self, combination: Combination, terms: Iterable[TermOracle], purse: Purse) -> None:
        self.reward, self.purse = combination, purse
        self.scales: Mapping[str, Scale] = combination.known_scales
        self._terms = sorted(terms, key=lambda term: term.oracle.policy.worst_case(1))

    def recall(self, rows: Sequence[QueryRow]) -> None:
        """Remember the answers that a ledger holds."""
        done = {(row.stage + TERM, row.id) for row in rows if row.completed}
        for term in self._terms:
            own = [row for row in rows if row.of_term and row.oracle == term.name]
            term.recall(own, (row for row in own if (row.stage, row.id) not in done))

    @property
    def waits(self) -> bool:
        """Nothing is drawn while answers are waited for, since every part is asked about whole populations."""
        return False

    def ask(
        self,
        queries: Sequence[Query] = (),
        *,
        rendering: RenderQueue | None = None,
        on_sent: OnSent,
        on_scored: OnScored,
    ) -> list[Response | None]:
        """Ask about images, as `Oracle.ask` does, once all are drawn."""
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
        answers = {id_: self._combined(terms) for id_, terms in found.items() if self._decided(terms)}
        on_scored([(query, answers[query.id]) for query in queries if query.id in answers])
        if stopped is not None:
            raise stopped
        return [answers.get(query.id) for query in queries]

    def interrupt(self) -> None:
        """Stop asking, as `Oracle.interrupt` does."""
        for term in self._terms:
            term.oracle.interrupt()

    def close(self) -> None:
        """Let go of what asking needed."""
        for term in self._terms:
            term.oracle.close()

    def _decided(self, answers: TermResponses) -> bool:
        return len(answers) == len(self._terms) or any(answer.score.missing for answer in answers.values())

    def _combined(self, answers: TermResponses) -> Response:
        score: Score = self.reward.score({name: answer.score for name, answer in answers.items()}, self.scales)
        return Response(score, attempts=0, cached=all(answer.cached for answer in answers.values()))


def _announce(on_sent: OnSent, announced: set[int], queries: list[Query], term: TermOracle | None = None) -> None:
    """Say that questions leave to a part, and before, the first time, that they leave to the combination."""
    new = [query for query in queries if query.id not in announced]
    if new:
        on_sent(new)
        announced.update(query.id for query in new)
    on_sent(queries, term)


def _scored(answer: Response | None) -> bool:
    return answer is not None and not answer.score.missing
