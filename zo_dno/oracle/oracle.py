"""The oracle of a reward: every query gets a score or the reason why it has none."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from zo_dno.call_policy import CallPolicy
from zo_dno.failures import Failure
from zo_dno.oracle.breaker import Breaker
from zo_dno.oracle.cache import Cache, cache_key
from zo_dno.oracle.executor import Executor, RemoteReward, Request
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.purse import Purse
from zo_dno.oracle.query_queue import QueryQueue, Responses, cached_copy
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.storage.images import array_hash
from zo_dno.storage.rows import score_of
from zo_dno.types import Query, Response, Score, array_of

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from zo_dno.reward import Reward
    from zo_dno.storage.ledger import QueryRow


class Oracle:
    """Sends queries to one reward by its call policy.

    Args:
        reward: Reward to call.
        policy: Call policy; by default the reward's own.
        purse: Purse that pays for the calls.
        cache: Cache of scores, looked up first.
        remote: The reward in other processes; by default calls are made in this process.
        seed: Seed of the random part of the waits between calls.
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
        self._reserved: dict[int, tuple[float, int]] = {}  # money and queries by the id of a batch's first query
        self._highest_charge = 0.0  # most that a call charged for an image, where that is more than was expected
        self._works = False
        self._tried = not (isinstance(reward, FunctionReward) and self.policy.breaker)
        self._executor = Executor(reward, self.policy, remote, seed)

    def key(self, query: Query) -> str:
        """Return the cache key of a query to this reward."""
        name = query.sha256
        if self.reward.takes_arrays and query.array is not None:  # several arrays may look the same
            name += array_hash(array_of(query.array))
        return cache_key(self._identity, name, query.prompt, query.repeat, query.rater)

    def recall(self, rows: "Iterable[QueryRow]") -> None:
        """Cache the scores of a ledger's rows."""
        rows = list(rows)
        highest = max((row.cost / max(1, row.attempts) for row in rows), default=0.0)
        if highest > self.policy.cost_of_call(1) * (1 + 1e-9):
            self._highest_charge = highest
        scored = [row for row in rows if row.value is not None]
        self._works = self._works or bool(scored)
        keys = (cache_key(self._identity, row.image, row.prompt, row.repeat, row.rater) for row in scored)
        self.cache.remember((key, score_of(row)) for key, row in zip(keys, scored, strict=True))

    @property
    def waits(self) -> bool:
        """Whether calls are in flight while this thread does other work."""
        return self._executor.waits

    @property
    def worst_case(self) -> float:
        """The most that one query can cost with all its attempts, by the policy and by what was charged so far."""
        return self._worst_case(self.reward.batch)

    def ask(
        self,
        queries: Sequence[Query] = (),
        *,
        rendering: RenderQueue | None = None,
        on_sent: Callable[[list[Query]], None] = lambda _: None,
        on_scored: Callable[[Responses], None] = lambda _: None,
    ) -> list[Response | None]:
        """Score images; equal queries are sent once.

        Args:
            queries: Queries with distinct ids.
            rendering: Queue that renders further queries; they are sent while the rest is being rendered.
            on_sent: Function that gets queries before they are sent.
            on_scored: Function that gets responses as soon as they arrive, before further queries are sent.
        Returns:
            Responses in the order of the queries; None where the money does not suffice.

        Raises:
            PauseError: The breaker opened. The calls in flight were waited for.
            KeyboardInterrupt: The calls in flight were waited for, unless the reward keeps its scores. A second
                interrupt does not wait.
            Exception: An image could not be rendered. The calls in flight were waited for.
        """
        with self._executor.deferring_ctrl_c():
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
        in_flight = 0
        stopped_by: Exception | KeyboardInterrupt | None = None
        self._breaker.begin()
        while True:
            batches = self._affordable(queue, self._capacity(queue) - in_flight, last=rendering.exhausted)
            if batches:
                on_sent([query for batch in batches for query in batch])
                for batch in batches:
                    self._executor.start(self._request(batch))
                in_flight += len(batches)
            try:
                self._advance(rendering, len(queue), in_flight)
                if not in_flight and (rendering.exhausted or queue.next_batch(self.reward.batch, last=False)):
                    break  # all queries have responses, or the next batch cannot be paid for
                if not in_flight and not self._executor.waits:
                    rendering.wait()
                finished = self._executor.finished()
            except KeyboardInterrupt as interrupt:
                if isinstance(stopped_by, KeyboardInterrupt):
                    raise
                if self.reward.keeps_answers:
                    rendering.stop()
                    raise
                finished, stopped_by = [], interrupt
            in_flight -= len(finished)
            queue.settle([pair for request in finished for pair in self._responses(request, queue)])
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
        return queue.responses

    def interrupt(self) -> None:
        """Stop `ask` from another thread, as Ctrl-C does: on the first call, it waits for the calls in flight."""
        self._executor.interrupt()

    def close(self) -> None:
        """Cancel the calls in flight, and close the reward's connections."""
        self._executor.close()

    def _capacity(self, queue: QueryQueue) -> int:
        """Return how many calls may be in flight: more than the policy's only while enough others would still wait.

        The first call of a function is made alone, since it shows whether the function keeps to its contract.
        """
        if not self._tried:
            return 1
        beyond = len(queue) // self.reward.batch - self.policy.in_flight
        return self.policy.in_flight + max(self._executor.queued, min(self._executor.spare, beyond))

    def _advance(self, rendering: RenderQueue, waiting: int, in_flight: int) -> None:
        """Start to render unless enough queries wait; in this thread, only after all responses are written."""
        if waiting < self.policy.in_flight * self.reward.batch and (self._executor.waits or not in_flight):
            rendering.advance(self._executor.wake)

    def _affordable(self, queue: QueryQueue, places: int, *, last: bool) -> list[list[Query]]:
        """Take batches from the queue, at most `places` of them, and reserve their worst case."""
        batches: list[list[Query]] = []
        while len(batches) < places and (batch := queue.next_batch(self.reward.batch, last=last)):
            amount = self._worst_case(len(batch))
            if not self.purse.reserve(amount):
                break
            self._reserved[batch[0].id] = (amount, len(batch))
            queue.drop(len(batch))
            batches.append(batch)
        return batches

    def _request(self, batch: list[Query]) -> Request:
        keys = [self.key(query) for query in batch] if self.reward.takes_keys else ()
        return Request(batch, keys, first_call=_first_call(batch))

    def _responses(self, request: Request, queue: QueryQueue) -> Responses:
        n = len(request.queries)
        lost = sum(self.policy.cost_of_call(n) for failure in request.failures if failure.billed) / n
        kinds = tuple(failure.kind for failure in request.failures)
        responses: Responses = []
        for i, query in enumerate(request.queries):
            if request.scores is None:
                last = request.failures[-1]
                score, cost = Score(float("nan"), error=last.message, kind=last.kind), lost
            else:
                score = request.scores[i]
                own = self.policy.cost_of_call(1, score.tokens or None) if score.cost is None else score.cost
                cost = lost + own
            response = Response(score, request.attempts, kinds, cost)
            responses.append((query, response))
            responses += [(duplicate, cached_copy(response)) for duplicate in queue.take_duplicates(query)]
        asked = [query for query, _ in responses]
        self._breaker.note(asked, responses[0][1])
        self._works, self._tried = self._works or request.scores is not None, True
        final = request.failures[-1] if request.scores is None else None
        if final is not None and final.misuse and not self._works and self.policy.breaker:
            self._breaker.misused(asked, final)
        if final is not None and (final.pauses or self.policy.pauses_for(final.retry_after)):
            self._breaker.trip(asked, final)
        charged = sum(response.cost for _, response in responses)
        self.purse.settle(self._reserved.pop(request.queries[0].id)[0], charged)
        self._note_charge(charged / n / max(1, request.attempts))
        return responses

    def _worst_case(self, n: int) -> float:
        """Return the most that a batch of n queries may cost, by what is known of the charges."""
        return max(self.policy.worst_case(n), self.policy.attempts * self._highest_charge * n)

    def _note_charge(self, charged: float) -> None:
        """Reserve as much for the next queries as was charged for an image, and say so where that is unexpected."""
        if charged > max(self._highest_charge, self.policy.cost_of_call(1)) * (1 + 1e-9):
            first, self._highest_charge = self._highest_charge == 0, charged
            for id_, (amount, n) in self._reserved.items():  # those in flight will be charged as much
                self._reserved[id_] = (self._worst_case(n), n)
                self.purse.reserve_more(self._worst_case(n) - amount)
            log.log(
                logging.WARNING if first else logging.DEBUG,
                "%s charged %.4g for an image, where %.4g was expected. From now on that much is reserved for every "
                "attempt; the calls in flight may exceed max_cost.",
                *(self.reward.name, charged, self.policy.cost_of_call(1)),
            )


def _first_call(batch: Sequence[Query]) -> list[Score] | Failure | None:
    """Join the first calls of several queries to one: None unless each was made, a failure if one failed."""
    scores: list[Score] = []
    for query in batch:
        if not isinstance(query.first_call, list):
            return query.first_call
        scores += query.first_call
    return scores
