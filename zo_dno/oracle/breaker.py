"""The circuit breaker: pauses a run whose calls keep failing."""

import time
from datetime import datetime

from zo_dno.failures import Failure
from zo_dno.types import Query, Response

_YEAR = 365 * 24 * 3600.0  # seconds; a later time is no date that a server means


class PauseError(Exception):
    """All recent queries failed, so that further ones would only spend the budget.

    Attributes:
        failed: Number of queries that failed in a row.
        reason: Error of the last one.
        unscored: Failed queries of the current batch; they do not count.
        term: Name of the combination's term that failed; empty for a single reward.
        misuse: Whether the reward does not keep to its contract, which no other image changes.
    """

    def __init__(
        self, failed: int, reason: str, unscored: list[Query], term: str = "", *, misuse: bool = False
    ) -> None:
        to = f" to {term}" if term else ""
        what = f"the first query{to} failed" if misuse else f"the last {failed} queries{to} all failed, at last"
        super().__init__(f"{what} with: {reason.removesuffix('.')}")
        self.failed, self.reason, self.unscored, self.term, self.misuse = failed, reason, unscored, term, misuse


class Breaker:
    """Counts calls that failed in a row, and opens at a limit.

    A query counts when it is given up, with all its calls, so a failure that a retry mends does not count. A response
    whose score is missing for the reward's own reasons is a success.

    Args:
        limit: Number of failed calls in a row that opens it; 0 never does.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._calls, self._queries, self._reason = limit, 0, 0, ""
        self._failed: list[Query] = []
        self._withdrawn: list[Query] = []  # do not count, even where other calls return scores
        self._misused = False

    @property
    def open(self) -> bool:
        """Whether the limit is reached, or a failure pauses the run on its own."""
        return bool(self._withdrawn) or 0 < self._limit <= self._calls

    def trip(self, queries: list[Query], failure: Failure) -> None:
        """Open it at a failure that pauses the run on its own, whose queries have just been noted.

        Either a server asks for a long wait, or no further call can be right.
        """
        self._withdrawn += queries
        if failure.retry_after is None:
            self._reason = failure.message
            return
        seconds = failure.retry_after
        if seconds < _YEAR:
            wait = f"{seconds:.0f} s, until {datetime.fromtimestamp(time.time() + seconds):%Y-%m-%d %H:%M}"
        else:
            wait = "longer than a year"
        self._reason = f"{failure.message}; the server asks to wait {wait}"

    def misused(self, queries: list[Query], failure: Failure) -> None:
        """Open it because the reward does not keep to its contract, as the queries that have just been noted show."""
        self._withdrawn += queries
        self._misused, self._reason = True, failure.message

    def begin(self) -> None:
        """Begin a batch; an open breaker is closed again."""
        self._failed = []
        if self.open:
            self._calls, self._queries, self._withdrawn, self._misused = 0, 0, [], False

    def note(self, queries: list[Query], response: Response) -> None:
        """Count the queries of one request, given the response to one of them."""
        if len(response.failures) < response.attempts:  # the last call succeeded
            self._calls, self._queries, self._failed = 0, 0, []
            return
        self._calls += max(1, response.attempts)
        self._queries += len(queries)
        self._reason = response.score.error or ""
        self._failed += queries

    def check(self) -> None:
        """Raise PauseError if the breaker is open."""
        if self.open:
            failed = {query.id: query for query in (*self._failed, *self._withdrawn)}
            count = max(self._queries, len(self._withdrawn))
            raise PauseError(count, self._reason, list(failed.values()), misuse=self._misused)
