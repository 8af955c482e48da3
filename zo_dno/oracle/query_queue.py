"""The query queue of one `Oracle.ask`: queries that wait, and the responses to the others."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from zo_dno.oracle.cache import Cache
from zo_dno.types import Query, Response, Score

Responses = list[tuple[Query, Response]]


class QueryQueue:
    """Sorts queries into cached ones, duplicates of another one, and those that wait to be sent.

    Args:
        key: Function that gives equal queries the same key.
        cache: Cache of scores, looked up first.
        on_scored: Function that gets responses as soon as they arrive, before further queries are sent.
    """

    def __init__(self, key: Callable[[Query], str], cache: Cache, on_scored: Callable[[Responses], None]) -> None:
        self._key, self._cache, self._on_scored = key, cache, on_scored
        self._ids: list[int] = []
        self._first: dict[str, int] = {}  # key -> id of the query that is sent for all its duplicates
        self._duplicates: dict[int, list[Query]] = {}
        self._responses: dict[int, Response] = {}
        self._waiting: deque[Query] = deque()

    def __len__(self) -> int:
        """Return the number of queries that wait to be sent."""
        return len(self._waiting)

    def add(self, queries: Sequence[Query]) -> None:
        """Append queries with distinct ids; those with a known response are settled at once."""
        known: Responses = []
        for query in queries:
            key = self._key(query)
            score = self._cache.find(key)
            first = self._first.get(key)
            if query.no_image:
                none = Score(math.nan, error=query.no_image, kind="no image")
                known.append((query, Response(none, attempts=0)))
            elif score is not None:
                known.append((query, Response(score, attempts=0, cached=True)))
            elif first is None:
                self._first[key] = query.id
                self._waiting.append(query)
            elif first in self._responses:
                known.append((query, cached_copy(self._responses[first])))
            else:
                self._duplicates.setdefault(first, []).append(query)
        self._ids += [query.id for query in queries]
        self.settle(known)

    def next_batch(self, size: int, *, last: bool) -> list[Query]:
        """Return the first `size` queries that wait; fewer only if no others will follow."""
        complete = len(self._waiting) >= size or last
        return [self._waiting[i] for i in range(min(size, len(self._waiting)))] if complete else []

    def drop(self, n: int) -> None:
        """Remove the first n queries that wait."""
        for _ in range(n):
            self._waiting.popleft()

    def clear(self) -> None:
        """Remove all queries that wait."""
        self._waiting.clear()

    def take_duplicates(self, query: Query) -> list[Query]:
        """Remove and return the duplicates of a query."""
        return self._duplicates.pop(query.id, [])

    def settle(self, found: Responses) -> None:
        """Store responses, report them, and cache their scores."""
        if not found:
            return
        self._responses.update((query.id, response) for query, response in found)
        self._on_scored(found)
        self._cache.remember((self._key(query), response.score) for query, response in found)

    @property
    def responses(self) -> list[Response | None]:
        """Responses in the order of the queries; None without one."""
        return [self._responses.get(id_) for id_ in self._ids]


def cached_copy(response: Response) -> Response:
    """Return the response to a duplicate of the query that got this one."""
    return Response(replace(response.score, seconds=0.0, tokens=0), attempts=0, cached=True)
