"""Asking a reward reliably: every question gets a score or a reason why it has none, whatever the reward does."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zo_dno.call_policy import CallPolicy
from zo_dno.oracle.breaker import Breaker
from zo_dno.oracle.cache import Cache, answer_key
from zo_dno.oracle.call import Outcome
from zo_dno.oracle.executor import Executor, RemoteReward, Request
from zo_dno.oracle.purse import Purse
from zo_dno.oracle.query_queue import QueryQueue, Responses, copied
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.storage.rows import score_of
from zo_dno.types import Query, Response, Score

if TYPE_CHECKING:
    from zo_dno.reward import Reward
    from zo_dno.storage.ledger import QueryRow


class Oracle:
    """Asks one reward, on its terms.

    Args:
        reward: to ask.
        policy: terms; by default the reward's own.
        purse: where the money comes from.
        cache: of answers, consulted first.
        remote: processes to ask in; by default this one.
        seed: of the random part of the waits between calls.
    """

    def __init__(
        self,
        reward: "Reward",
        policy: CallPolicy | None = None,
        *,
        purse: Purse | None = None,
        cache: Cache | None = None,
        remote: RemoteReward | None = None,
        seed: int = 0,
    ) -> None:
        self.reward, self.policy = reward, policy or reward.policy
        self.cache, self.purse = cache or Cache(), purse or Purse()
        self._identity = reward.identity
        self._breaker = Breaker(self.policy.breaker)
        self._executor = Executor(reward, self.policy, remote, seed)

    def key(self, query: Query) -> str:
        """Name a question to this reward, for the cache."""
        return answer_key(self._identity, query.sha256, query.prompt, query.repeat, query.rater)

    def recall(self, rows: "Iterable[QueryRow]") -> None:
        """Remember the answers that a ledger holds."""
        scored = [row for row in rows if row.value is not None]
        keys = (answer_key(self._identity, row.image, row.prompt, row.repeat, row.rater) for row in scored)
        self.cache.remember((key, score_of(row)) for key, row in zip(keys, scored, strict=True))

    @property
    def waits(self) -> bool:
        """Answers are waited for while this thread can do other things."""
        return self._executor.waits

    def ask(
        self,
        queries: Sequence[Query] = (),
        *,
        rendering: RenderQueue | None = None,
        on_sent: Callable[[list[Query]], None] = lambda _: None,
        on_scored: Callable[[Responses], None] = lambda _: None,
    ) -> list[Response | None]:
        """Ask about images; equal questions are asked once.

        Args:
            queries: each with an id of its own.
            rendering: of further questions; what is drawn is asked about while the rest is being drawn.
            on_sent: called with questions before they leave.
            on_scored: called with answers as soon as they are there, before anything else is asked.
        Returns:
            (n,) in the order of the questions that there are; None where the money does not suffice.

        Raises:
            PauseError: the breaker opened. What was under way was waited for.
            KeyboardInterrupt: what was under way was waited for, unless the reward keeps its answers; a second one does
                not wait.
            Exception: an image could not be drawn. What was under way was waited for.
        """
        with self._executor.taking_ctrl_c():
            return self._ask(queries, rendering or RenderQueue(), on_sent, on_scored)

    def _ask(
        self,
        queries: Sequence[Query],
        rendering: RenderQueue,
        on_sent: Callable[[list[Query]], None],
        on_scored: Callable[[Responses], None],
    ) -> list[Response | None]:
        queue = QueryQueue(self.key, self.cache, on_scored)
        queue.add(queries)
        running = 0
        stopped_by: Exception | KeyboardInterrupt | None = None
        self._breaker.begin()
        while True:
            leaving = self._affordable(queue, self._places(queue) - running, last=rendering.exhausted)
            if leaving:
                on_sent([query for group in leaving for query in group])
                for group in leaving:
                    self._executor.start(self._request(group))
                running += len(leaving)
            try:
                self._render_on(rendering, len(queue), running)
                if not running and (rendering.exhausted or queue.group(self.reward.batch, last=False)):
                    break  # all is answered, or what comes next cannot be paid for
                if not running and not self._executor.waits:
                    rendering.wait()
                finished = self._executor.finished()
            except KeyboardInterrupt as interrupt:
                if isinstance(stopped_by, KeyboardInterrupt):
                    raise
                if self.reward.keeps_answers:
                    rendering.stop()
                    raise
                finished, stopped_by = [], interrupt
            running -= len(finished)
            queue.settle([pair for request in finished for pair in self._answered(request, queue)])
            try:
                queue.add(rendering.rendered())
            except Exception as error:
                stopped_by = stopped_by or error
            if stopped_by is not None or self._breaker.open:
                queue.clear()
                rendering.stop()
        rendering.stop()
        if stopped_by is not None:
            raise stopped_by
        self._breaker.check()
        return queue.answers

    def interrupt(self) -> None:
        """Stop asking, from another thread: as Ctrl-C does, what is under way is waited for at the first call."""
        self._executor.interrupt()

    def close(self) -> None:
        """Let go of what asking needed; what is under way is given up."""
        self._executor.close()

    def _places(self, queue: QueryQueue) -> int:
        """How many calls may be under way; more than the terms say only while enough would wait for everybody."""
        beyond = len(queue) // self.reward.batch - self.policy.in_flight
        return self.policy.in_flight + max(self._executor.queued, min(self._executor.spare, beyond))

    def _render_on(self, rendering: RenderQueue, waiting: int, running: int) -> None:
        """Begin to draw, unless enough waits to be asked; in this thread, only once all answers are written down."""
        if waiting < self.policy.in_flight * self.reward.batch and (self._executor.waits or not running):
            rendering.advance(self._executor.wake)

    def _affordable(self, queue: QueryQueue, places: int, *, last: bool) -> list[list[Query]]:
        leaving: list[list[Query]] = []
        while len(leaving) < places and (group := queue.group(self.reward.batch, last=last)):
            if not self.purse.reserve(self.policy.worst_case(len(group))):
                break
            queue.leave(len(group))
            leaving.append(group)
        return leaving

    def _request(self, group: list[Query]) -> Request:
        keys = [self.key(query) for query in group] if self.reward.takes_keys else ()
        images, prompts = [query.image for query in group], [query.prompt for query in group]
        return Request(group, images, prompts, keys, known=_together([query.outcome for query in group]))

    def _answered(self, request: Request, queue: QueryQueue) -> Responses:
        group: list[Query] = request.ticket
        n = len(group)
        lost = sum(self.policy.cost_of_call(n) for failure in request.failures if failure.billed) / n
        kinds = tuple(failure.kind for failure in request.failures)
        responses: Responses = []
        for i, query in enumerate(group):
            if request.scores is None:
                last = request.failures[-1]
                score, cost = Score(float("nan"), error=last.message, kind=last.kind), lost
            else:
                score = request.scores[i]
                own = self.policy.cost_of_call(1, score.tokens or None) if score.cost is None else score.cost
                cost = lost + own
            answer = Response(score, request.attempts, kinds, cost)
            responses.append((query, answer))
            responses += [(twin, copied(answer)) for twin in queue.twins(query)]
        self._breaker.note([query for query, _ in responses], responses[0][1])
        self.purse.settle(self.policy.worst_case(n), sum(answer.cost for _, answer in responses))
        return responses


def _together(outcomes: Sequence[Outcome | None]) -> Outcome | None:
    """Return what came of the calls for several images as what came of one; None unless all were made."""
    scores: list[Score] = []
    for outcome in outcomes:
        if not isinstance(outcome, list):
            return outcome
        scores += outcome
    return scores
