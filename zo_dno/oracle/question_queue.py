"""The questions of one `ask`: those that wait, and what came of the others. Equal ones are asked once."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from zo_dno.oracle.cache import Cache
from zo_dno.types import Answer, Question, Score

Placed = list[tuple[Question, Answer]]


class Round:
    """Sorts questions into those that are remembered, those that equal another one, and those that wait to be asked.

    Args:
        key: names a question.
        cache: of answers.
        on_answered: called with answers as soon as they are there, before anything else is asked.
    """

    def __init__(self, key: Callable[[Question], str], cache: Cache, on_answered: Callable[[Placed], None]) -> None:
        self._key, self._cache, self._on_answered = key, cache, on_answered
        self._ids: list[int] = []
        self._asked: dict[str, int] = {}  # key -> id of the question that is asked for all that equal it
        self._twins: dict[int, list[Question]] = {}
        self._answers: dict[int, Answer] = {}
        self._waiting: deque[Question] = deque()

    def __len__(self) -> int:
        """Return how many wait to be asked."""
        return len(self._waiting)

    def add(self, questions: Sequence[Question]) -> None:
        """Take up questions, each with an id of its own; what is known of them already is settled at once."""
        known: Placed = []
        for question in questions:
            key = self._key(question)
            score = self._cache.find(key)
            first = self._asked.get(key)
            if question.no_image:
                none = Score(math.nan, error=question.no_image, kind="no image")
                known.append((question, Answer(none, attempts=0)))
            elif score is not None:
                known.append((question, Answer(score, attempts=0, cached=True)))
            elif first is None:
                self._asked[key] = question.id
                self._waiting.append(question)
            elif first in self._answers:
                known.append((question, copied(self._answers[first])))
            else:
                self._twins.setdefault(first, []).append(question)
        self._ids += [question.id for question in questions]
        self.settle(known)

    def group(self, size: int, *, last: bool) -> list[Question]:
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

    def twins(self, question: Question) -> list[Question]:
        """Return the questions that wait for the same answer."""
        return self._twins.pop(question.id, [])

    def settle(self, found: Placed) -> None:
        """Take note of answers."""
        if not found:
            return
        self._answers.update((question.id, answer) for question, answer in found)
        self._on_answered(found)
        self._cache.remember((self._key(question), answer.score) for question, answer in found)

    @property
    def answers(self) -> list[Answer | None]:
        """In the order of the questions; None where there is none."""
        return [self._answers.get(id_) for id_ in self._ids]


def copied(answer: Answer) -> Answer:
    """Return what a question that equals another one is answered."""
    return Answer(replace(answer.score, seconds=0.0, tokens=0), attempts=0, cached=True)
