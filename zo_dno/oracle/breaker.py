"""The circuit breaker: pauses a run whose calls keep failing."""

from zo_dno.types import Query, Response


class PauseError(Exception):
    """All recent queries failed, so that further ones would only spend the budget.

    Attributes:
        failed: Number of queries that failed in a row.
        reason: Error of the last one.
        unscored: Failed queries of the current batch; they do not count.
        term: Name of the combination's term that failed; empty for a single reward.
    """

    def __init__(self, failed: int, reason: str, unscored: list[Query], term: str = "") -> None:
        to = f" to {term}" if term else ""
        super().__init__(f"the last {failed} queries{to} all failed, at last with: {reason}")
        self.failed, self.reason, self.unscored, self.term = failed, reason, unscored, term


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

    @property
    def open(self) -> bool:
        """Whether the limit is reached."""
        return 0 < self._limit <= self._calls

    def begin(self) -> None:
        """Begin a batch; an open breaker is closed again."""
        self._failed = []
        if self.open:
            self._calls = self._queries = 0

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
            raise PauseError(self._queries, self._reason, self._failed)
