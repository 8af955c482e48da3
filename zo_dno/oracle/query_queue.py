"""The questions of one `ask`: those that wait, and what came of the others. Equal ones are asked once."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from zo_dno.oracle.cache import Cache
from zo_dno.types import Query, Response, Score

Responses = list[tuple[Query, Response]]


class QueryQueue:
    """Sorts questions into those that are remembered, those that equal another one, and those that wait to be asked.

    Args:
        key: names a question.
        cache: of answers.
        on_scored: called with answers as soon as they are there, before anything else is asked.
    """

    def __init__(self, key: Callable[[Query], str], cache: Cache, on_scored: Callable[[Responses], None]) -> None:
        self._key, self._cache, self._on_scored = key, cache, on_scored
        self._ids: list[int] = []
        self._asked: dict[str, int] = {}  # key -> id of the question that is asked for all that equal it
        self._twins: dict[int, list[Query]] = {}
        self._answers: dict[int, Response] = {}
        self._waiting: deque[Query] = deque()

    def __len__(self) -> int:
        """Return how many wait to be asked."""
        return len(self._waiting)

    def add(self, queries: Sequence[Query]) -> None:
        """Take up questions, each with an id of its own; what is known of them already is settled at once."""
        known: Responses = []
        for query in queries:
            key = self._key(query)
            score = self._cache.find(key)
            first = self._asked.get(key)
            if query.no_image:
                none = Score(math.nan, error=query.no_image, kind="no image")
                known.append((query, Response(none, attempts=0)))
            elif score is not None:
                known.append((query, Response(score, attempts=0, cached=True)))
            elif first is None:
                self._asked[key] = query.id
                self._waiting.append(query)
            elif first in self._answers:
                known.append((query, copied(self._answers[first])))
            else:
                self._twins.setdefault(first, []).append(query)
        self._ids += [query.id for query in queries]
        self.settle(known)

    def group(self, size: int, *, last: bool) -> list[Query]:
        """Return the questions to ask next: `size` of them, or fewer when they are the last ones."""
        whole = len(self._waiting) >= size or last
        return [self._waiting[i] for i in range(min(size, len(self._waiting)))] if whole else []

    def leave(self, n: int) -> None:
        """Let the first n that wait go."""
        for _ in range(n):
            self._waiting.popleft()

    def clear(self) -> None:
        """Let none of those that wait be asked."""
        self._waiting.clear()

    def twins(self, query: Query) -> list[Query]:
        """Return the questions that wait for the same answer."""
        return self._twins.pop(query.id, [])

    def settle(self, found: Responses) -> None:
        """Take note of answers."""
        if not found:
            return
        self._answers.update((query.id, answer) for query, answer in found)
        self._on_scored(found)
        self._cache.remember((self._key(query), answer.score) for query, answer in found)

    @property
    def answers(self) -> list[Response | None]:
        """In the order of the questions; None where there is none."""
        return [self._answers.get(id_) for id_ in self._ids]


def copied(answer: Response) -> Response:
    """Return what a question that equals another one is answered."""
    return Response(replace(answer.score, seconds=0.0, tokens=0), attempts=0, cached=True)
