"""Asking a reward reliably: every question gets a score or a reason why it has none, whatever the reward does."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zo_dno.call_policy import Asking
from zo_dno.generators.renderer import Drawing
from zo_dno.oracle.cache import Cache, answer_key
from zo_dno.oracle.call import Outcome
from zo_dno.oracle.executor import Caller, Elsewhere, Job
from zo_dno.oracle.question_queue import Placed, Round, copied
from zo_dno.search.budget import Purse
from zo_dno.storage.rows import score_of
from zo_dno.types import Answer, Question, Score

if TYPE_CHECKING:
    from zo_dno.reward import Reward
    from zo_dno.storage.ledger import Query


class PauseError(Exception):
    """Every recent question failed, so asking on would only burn the budget.

    Attributes:
        unanswered: those of the last round whose failure is part of it and should not count.
        part: of a combination that was asked; empty for a reward by itself.
    """

    def __init__(self, failed: int, reason: str, unanswered: list[Question], part: str = "") -> None:
        to = f" to {part}" if part else ""
        super().__init__(f"the last {failed} queries{to} all failed, at last with: {reason}")
        self.failed, self.reason, self.unanswered, self.part = failed, reason, unanswered, part


class Breaker:
    """Opens once so many calls in a row brought no answer; a score that is missing for its own reasons is an answer.

    A question counts when it is given up, with all its calls, so a fault that a retry mends does not count.

    Args:
        limit: how many calls; 0 never opens.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._calls, self._questions, self._reason = limit, 0, 0, ""
        self._failed: list[Question] = []

    @property
    def open(self) -> bool:
        """No answer has come for a long time."""
        return 0 < self._limit <= self._calls

    def begin(self) -> None:
        """Begin a round of questions."""
        self._failed = []
        if self.open:
            self._calls = self._questions = 0

    def note(self, questions: list[Question], answer: Answer) -> None:
        """Look at what came of questions that were asked together, by the answer of one of them."""
        if len(answer.failures) < answer.attempts:  # the last call brought an answer
            self._calls, self._questions, self._failed = 0, 0, []
            return
        self._calls += max(1, answer.attempts)
        self._questions += len(questions)
        self._reason = answer.score.error or ""
        self._failed += questions

    def check(self) -> None:
        """Raise PauseError if it is open."""
        if self.open:
            raise PauseError(self._questions, self._reason, self._failed)


class Oracle:
    """Asks one reward, on its terms.

    Args:
        reward: to ask.
        asking: terms; by default the reward's own.
        purse: where the money comes from.
        cache: of answers, consulted first.
        elsewhere: processes to ask in; by default this one.
        seed: of the random part of the waits between calls.
    """

    def __init__(
        self,
        reward: "Reward",
        asking: Asking | None = None,
        *,
        purse: Purse | None = None,
        cache: Cache | None = None,
        elsewhere: Elsewhere | None = None,
        seed: int = 0,
    ) -> None:
        self.reward, self.asking = reward, asking or reward.asking
        self.cache, self.purse = cache or Cache(), purse or Purse()
        self._identity = reward.identity
        self._breaker = Breaker(self.asking.breaker)
        self._caller = Caller(reward, self.asking, elsewhere, seed)

    def key(self, question: Question) -> str:
        """Name a question to this reward, for the cache."""
        return answer_key(self._identity, question.sha256, question.prompt, question.repeat, question.rater)

    def recall(self, rows: "Iterable[Query]") -> None:
        """Remember the answers that a ledger holds."""
        scored = [row for row in rows if row.value is not None]
        keys = (answer_key(self._identity, row.image, row.prompt, row.repeat, row.rater) for row in scored)
        self.cache.remember((key, score_of(row)) for key, row in zip(keys, scored, strict=True))

    @property
    def waits(self) -> bool:
        """Answers are waited for while this thread can do other things."""
        return self._caller.waits

    def ask(
        self,
        questions: Sequence[Question] = (),
        *,
        drawing: Drawing | None = None,
        on_asked: Callable[[list[Question]], None] = lambda _: None,
        on_answered: Callable[[Placed], None] = lambda _: None,
    ) -> list[Answer | None]:
        """Ask about images; equal questions are asked once.

        Args:
            questions: each with an id of its own.
            drawing: of further questions; what is drawn is asked about while the rest is being drawn.
            on_asked: called with questions before they leave.
            on_answered: called with answers as soon as they are there, before anything else is asked.
        Returns:
            (n,) in the order of the questions that there are; None where the money does not suffice.

        Raises:
            PauseError: the breaker opened. What was under way was waited for.
            KeyboardInterrupt: what was under way was waited for, unless the reward keeps its answers; a second one does
                not wait.
            Exception: an image could not be drawn. What was under way was waited for.
        """
        with self._caller.taking_ctrl_c():
            return self._ask(questions, drawing or Drawing(), on_asked, on_answered)

    def _ask(
        self,
        questions: Sequence[Question],
        drawing: Drawing,
        on_asked: Callable[[list[Question]], None],
        on_answered: Callable[[Placed], None],
    ) -> list[Answer | None]:
        round_ = Round(self.key, self.cache, on_answered)
        round_.add(questions)
        running = 0
        stopped_by: Exception | KeyboardInterrupt | None = None
        self._breaker.begin()
        while True:
            leaving = self._affordable(round_, self._places(round_) - running, last=drawing.over)
            if leaving:
                on_asked([question for group in leaving for question in group])
                for group in leaving:
                    self._caller.start(self._job(group))
                running += len(leaving)
            try:
                self._draw_on(drawing, len(round_), running)
                if not running and (drawing.over or round_.group(self.reward.batch, last=False)):
                    break  # all is answered, or what comes next cannot be paid for
                if not running and not self._caller.waits:
                    drawing.wait()
                finished = self._caller.finished()
            except KeyboardInterrupt as interrupt:
                if isinstance(stopped_by, KeyboardInterrupt):
                    raise
                if self.reward.keeps_answers:
                    drawing.stop()
                    raise
                finished, stopped_by = [], interrupt
            running -= len(finished)
            round_.settle([pair for job in finished for pair in self._answered(job, round_)])
            try:
                round_.add(drawing.drawn())
            except Exception as error:
                stopped_by = stopped_by or error
            if stopped_by is not None or self._breaker.open:
                round_.clear()
                drawing.stop()
        drawing.stop()
        if stopped_by is not None:
            raise stopped_by
        self._breaker.check()
        return round_.answers

    def interrupt(self) -> None:
        """Stop asking, from another thread: as Ctrl-C does, what is under way is waited for at the first call."""
        self._caller.interrupt()

    def close(self) -> None:
        """Let go of what asking needed; what is under way is given up."""
        self._caller.close()

    def _places(self, round_: Round) -> int:
        """How many calls may be under way; more than the terms say only while enough would wait for everybody."""
        beyond = len(round_) // self.reward.batch - self.asking.in_flight
        return self.asking.in_flight + max(self._caller.queued, min(self._caller.spare, beyond))

    def _draw_on(self, drawing: Drawing, waiting: int, running: int) -> None:
        """Begin to draw, unless enough waits to be asked; in this thread, only once all answers are written down."""
        if waiting < self.asking.in_flight * self.reward.batch and (self._caller.waits or not running):
            drawing.go_on(self._caller.wake)

    def _affordable(self, round_: Round, places: int, *, last: bool) -> list[list[Question]]:
        leaving: list[list[Question]] = []
        while len(leaving) < places and (group := round_.group(self.reward.batch, last=last)):
            if not self.purse.reserve(self.asking.worst_case(len(group))):
                break
            round_.leave(len(group))
            leaving.append(group)
        return leaving

    def _job(self, group: list[Question]) -> Job:
        keys = [self.key(question) for question in group] if self.reward.takes_keys else ()
        images, prompts = [question.image for question in group], [question.prompt for question in group]
        return Job(group, images, prompts, keys, known=_together([question.outcome for question in group]))

    def _answered(self, job: Job, round_: Round) -> Placed:
        group: list[Question] = job.ticket
        n = len(group)
        lost = sum(self.asking.cost_of_call(n) for failure in job.failures if failure.billed) / n
        kinds = tuple(failure.kind for failure in job.failures)
        placed: Placed = []
        for i, question in enumerate(group):
            if job.scores is None:
                last = job.failures[-1]
                score, cost = Score(float("nan"), error=last.message, kind=last.kind), lost
            else:
                score = job.scores[i]
                own = self.asking.cost_of_call(1, score.tokens or None) if score.cost is None else score.cost
                cost = lost + own
            answer = Answer(score, job.attempts, kinds, cost)
            placed.append((question, answer))
            placed += [(twin, copied(answer)) for twin in round_.twins(question)]
        self._breaker.note([question for question, _ in placed], placed[0][1])
        self.purse.settle(self.asking.worst_case(n), sum(answer.cost for _, answer in placed))
        return placed


def _together(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    """Return what came of the calls for several images as what came of one; None unless all were made."""
    scores: list[Score] = []
    for outcome in outcomes:
        if not isinstance(outcome, list):
            return outcome
        scores += outcome
    return scores
