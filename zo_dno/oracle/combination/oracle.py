"""Asking a combination: part after part, each through an oracle of its own, and then the one score."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from zo_dno.generators.renderer import Drawing
from zo_dno.oracle.combination.part import Part
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.scales import Scale
from zo_dno.oracle.oracle import Oracle, PauseError
from zo_dno.oracle.question_queue import Placed
from zo_dno.search.budget import Purse
from zo_dno.storage.ledger import PART, Query
from zo_dno.storage.rows import score_of
from zo_dno.types import Answer, Question, Score

Answers = dict[str, Answer]


class OnAsked(Protocol):
    """Is called before questions leave: to the combination, and then to each part of it."""

    def __call__(self, questions: list[Question], part: "PartOracle | None" = None) -> None: ...


class OnAnswered(Protocol):
    """Is called with answers as soon as they are there: of each part, and in the end of the combination."""

    def __call__(self, placed: Placed, part: "PartOracle | None" = None) -> None: ...


class PartOracle:
    """Asks one part, and knows what it said in earlier sessions of those who wait for the combination's score.

    Args:
        part: to ask.
        oracle: of its reward.
    """

    def __init__(self, part: Part, oracle: Oracle) -> None:
        self.name, self.version, self.oracle = part.name, part.reward.version, oracle
        self._known: dict[tuple[int, str], Query] = {}

    def recall(self, rows: Sequence[Query], waiting: Iterable[Query]) -> None:
        """Remember the part's rows in a ledger, and those of them that are still waited for by themselves."""
        self.oracle.recall(rows)
        self._known = {(row.id, row.image): row for row in waiting}

    def earlier(self, question: Question) -> Query | None:
        """Return the row of the same question from an earlier session."""
        return self._known.get((question.id, question.sha256))

    def ask(
        self, questions: Sequence[Question], found: dict[int, Answers], on_asked: OnAsked, on_answered: OnAnswered
    ) -> None:
        """Put the part's answers into `found`, also where this is cut short."""
        fresh = []
        for question in questions:
            row = self.earlier(question)
            if row is not None and row.answered:
                found[question.id][self.name] = Answer(score_of(row), attempts=0, cached=row.cached)
            else:
                fresh.append(question)

        def note(placed: Placed) -> None:
            on_answered(placed, self)
            for question, answer in placed:
                found[question.id][self.name] = answer

        try:
            self.oracle.ask(fresh, on_asked=partial(on_asked, part=self), on_answered=note)
        except PauseError as pause:
            for question in pause.unanswered:
                found[question.id].pop(self.name, None)
            raise PauseError(pause.failed, pause.reason, pause.unanswered, self.name) from pause


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

    def __init__(self, combination: Combination, parts: Iterable[PartOracle], purse: Purse) -> None:
        self.reward, self.purse = combination, purse
        self.scales: Mapping[str, Scale] = combination.known_scales
        self._parts = sorted(parts, key=lambda part: part.oracle.asking.worst_case(1))

    def recall(self, rows: Sequence[Query]) -> None:
        """Remember the answers that a ledger holds."""
        done = {(row.stage + PART, row.id) for row in rows if row.answered}
        for part in self._parts:
            own = [row for row in rows if row.of_part and row.oracle == part.name]
            part.recall(own, (row for row in own if (row.stage, row.id) not in done))

    @property
    def waits(self) -> bool:
        """Nothing is drawn while answers are waited for, since every part is asked about whole populations."""
        return False

    def ask(
        self,
        questions: Sequence[Question] = (),
        *,
        drawing: Drawing | None = None,
        on_asked: OnAsked,
        on_answered: OnAnswered,
    ) -> list[Answer | None]:
        """Ask about images, as `Oracle.ask` does, once all are drawn."""
        questions = [*questions, *(drawing.rest() if drawing is not None else ())]
        found: dict[int, Answers] = {question.id: {} for question in questions}
        announce = partial(_announce, on_asked, set())
        waiting, stopped = list(questions), None
        for part in self._parts:
            try:
                part.ask(waiting, found, announce, on_answered)
            except (PauseError, KeyboardInterrupt) as cut_short:
                stopped = cut_short
                break
            waiting = [question for question in waiting if _scored(found[question.id].get(part.name))]
        answers = {id_: self._combined(parts) for id_, parts in found.items() if self._decided(parts)}
        on_answered([(question, answers[question.id]) for question in questions if question.id in answers])
        if stopped is not None:
            raise stopped
        return [answers.get(question.id) for question in questions]

    def interrupt(self) -> None:
        """Stop asking, as `Oracle.interrupt` does."""
        for part in self._parts:
            part.oracle.interrupt()

    def close(self) -> None:
        """Let go of what asking needed."""
        for part in self._parts:
            part.oracle.close()

    def _decided(self, answers: Answers) -> bool:
        return len(answers) == len(self._parts) or any(answer.score.missing for answer in answers.values())

    def _combined(self, answers: Answers) -> Answer:
        score: Score = self.reward.score({name: answer.score for name, answer in answers.items()}, self.scales)
        return Answer(score, attempts=0, cached=all(answer.cached for answer in answers.values()))


def _announce(
    on_asked: OnAsked, announced: set[int], questions: list[Question], part: PartOracle | None = None
) -> None:
    """Say that questions leave to a part, and before, the first time, that they leave to the combination."""
    new = [question for question in questions if question.id not in announced]
    if new:
        on_asked(new)
        announced.update(question.id for question in new)
    on_asked(questions, part)


def _scored(answer: Answer | None) -> bool:
    return answer is not None and not answer.score.missing
