"""The loop: ask for noise, draw it, score it, write it down, tell the strategy."""

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from zo_dno.generators.renderer import Renderer, render_images
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import CombinedOracle, TermOracle
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.query_queue import Responses
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.search.archive import Archive, Found
from zo_dno.search.budget import Budget, Limit
from zo_dno.search.objective import Objective, Plausibility
from zo_dno.search.population import Population, reward_violations, rewards_of
from zo_dno.search.recorded import found_of, recorded_image
from zo_dno.search.screening import Preselection
from zo_dno.search.surrogate import image_features
from zo_dno.search.white_box import Opened, image_noise_of
from zo_dno.storage import snapshot
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.images import noise_hash
from zo_dno.storage.ledger import TERM, Ledger, PopulationRow, QueryRow
from zo_dno.storage.rows import query_row
from zo_dno.strategy import Strategy, UsesRegularizer, WhiteBox
from zo_dno.types import AnyImage, Candidates, Generator, Query, Rendered, Response, array_of, batch_size_of, slices

if TYPE_CHECKING:
    from zo_dno.distributed.actor_pool import ActorPool

Status = Literal["finished", "target", "interrupted", "paused", "infeasible"]
_PHASES = ("generate", "score", "strategy")


@dataclass(frozen=True, slots=True)
class Step:
    """What a watcher is shown after every population; `median_log_prob` is that population's.

    `crews` are the actors that draw and score; their figures are those of whenever they are looked at.
    """

    stage: str
    queries: int
    planned: int
    failed: int
    best: Found | None
    median_log_prob: float
    sigma: float | None
    images_per_second: float
    cost: float
    actor_pools: tuple["ActorPool", ...] = ()


class DriftError(Exception):
    """The recorded run cannot be gone on with exactly; the message says what came out differently."""


@dataclass(slots=True)
class Search:
    """One search: the parts, and what came of them.

    Args:
        target: stop when an eligible candidate's reward reaches it.
        stage: what the ledger calls these queries.
        snapshot: where the strategy's state is kept, if it is.
        accept_drift: go on although the model now draws other images than the recorded ones.
        on_step: called after every population.
        actor_pools: actors that draw and score.
        screen: decides whom to ask about, where more is drawn than asked.
    """

    generator: Generator
    renderer: Renderer
    oracle: Oracle | CombinedOracle
    strategy: Strategy
    objective: Objective
    budget: Budget
    ledger: Ledger
    archive: Archive
    artifacts: Artifacts
    prompt: str = ""
    target: float | None = None
    stage: str = "search"
    snapshot: Path | None = None
    accept_drift: bool = False
    on_step: Callable[[Step], None] | None = None
    actor_pools: tuple["ActorPool", ...] = ()
    screen: Preselection | None = None

    status: Status = "finished"
    stopped_by: Limit | None = None
    pause: PauseError | None = None
    queries: int = 0
    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    drift: str | None = None  # what came out differently, and was accepted
    pending: deque[Population] = field(default_factory=deque)  # asked for and not told yet, in order
    _recorded_features: dict[int, np.ndarray] | None = None
    _interrupted: bool = False
    _populations: int = 0
    _told: int = 0
    _started: float = field(default_factory=time.perf_counter)
    _lap_from: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.strategy, UsesRegularizer) and (self.objective.gamma > 0 or self.objective.adapts):
            self.strategy.use_regularizer(self.objective.regularizer)
        if isinstance(self.strategy, WhiteBox):
            self.strategy.use_model(Opened(self.generator, self.oracle.reward, self.objective))

    @property
    def failed(self) -> int:
        """Number of queries without a score."""
        return self.failures.total()

    @property
    def elapsed(self) -> float:
        """Wall-clock seconds of this session and those before it."""
        return self.seconds["earlier"] + time.perf_counter() - self._started

    @property
    def nfe(self) -> int:
        """Denoiser calls for the images of all settled candidates."""
        return self.images * self.generator.nfe

    @property
    def lag(self) -> int:
        """How many populations the strategy need not know when it is asked for the next."""
        lag: int = getattr(self.strategy, "lag", 0)
        return lag

    @property
    def _nfe_a_query(self) -> int:
        return self.generator.nfe * (self.screen.factor if self.screen else 1)

    @property
    def _left(self) -> int:
        return self.budget.left(self.queries, self.elapsed, self._nfe_a_query)

    @property
    def _may_ask(self) -> bool:
        """Something is left for candidates beyond those in hand."""
        stopped = self.status != "finished" or self.stopped_by is not None or self._interrupted
        return not stopped and self._left > sum(population.unsettled for population in self.pending)

    def interrupt(self) -> None:
        """Stop from another thread, as Ctrl-C does in this one."""
        self._interrupted = True
        self.oracle.interrupt()

    def run(self) -> None:
        """Search until the budget is spent, the target is reached, asking is useless or somebody presses Ctrl-C."""
        try:
            self._look_for_target()
            self._advance()
            while self.status == "finished" and self.stopped_by is None:
                if self._interrupted:
                    raise KeyboardInterrupt
                if self._left:
                    self._score_pending()
                    self._advance()
                else:
                    self.stopped_by = self.budget.limit(self.queries, self._nfe_a_query)
        except KeyboardInterrupt:
            self.status = "interrupted"
        except PauseError as pause:
            self.status, self.pause = "paused", pause
            self._reopen([query.id for query in pause.unscored], pause.term)
        self._keep_unfinished()
        self.ledger.put(artifacts=self.artifacts.flush())
        best = self.archive.best
        if self.status == "finished" and best is not None and not best.feasible:
            self.status = "infeasible"
        self.seconds["total"] = self.elapsed
        self.seconds["other"] = self.seconds["total"] - sum(self.seconds[name] for name in _PHASES)

    def recall(self, row: PopulationRow, candidates: Candidates, rows: list[QueryRow], *, known: bool = False) -> None:
        """Take a recorded population in hand where it was left.

        Args:
            row: of the population.
            candidates: what the strategy has just asked for again.
            rows: of its queries.
            known: the strategy knows their scores already.
        """
        self._populations = row.number + 1
        self.seconds["earlier"] = max(self.seconds["earlier"], row.seconds)
        for phase in _PHASES:
            self.seconds[phase] = max(self.seconds[phase], getattr(row, f"{phase}_seconds"))
        for query in rows:
            self._count(query)
        population = Population(row, candidates, {query.id: query for query in rows}, known=known)
        if all(query.told_seq is not None for query in rows) and len(rows) == row.size:
            population.told = torch.tensor(
                [math.nan if row.told is None else row.told for row in rows], dtype=torch.float64
            )
        self.pending.append(population)

    def catch_up(self, most: int) -> None:
        """Tell what is recorded, until at most so many populations are in hand.

        Raises:
            DriftError: one of them was never complete.
        """
        while len(self.pending) > most:
            if not self.pending[0].complete:
                raise DriftError(f"population {self.pending[0].row.number} was not waited for as it is now")
            self._settle(self.pending[0])

    def compare_images(self, candidates: Candidates, rows: Sequence[QueryRow]) -> None:
        """Draw recorded candidates again.

        Raises:
            DriftError: their images differ.
        """
        images = render_images(self.generator, candidates.z, image_noise_of(self.strategy))
        for row in rows:
            if images[row.id - candidates.ids[0]].sha256 != row.image:
                self._drift(f"the model draws another image of candidate {row.id} than it did")

    def _advance(self, rendering: RenderQueue | None = None) -> None:
        """Tell complete populations, and ask for as many as may be in hand, each in its turn.

        Args:
            rendering: that is under way, which goes on with those that are asked for.
        """
        while True:
            if len(self.pending) <= self.lag and self._may_ask:
                population = self._ask()
                if rendering is not None:
                    self._render(population, rendering)
            elif self.pending and self.pending[0].complete:
                self._settle(self.pending[0])
            else:
                return

    def _score_pending(self) -> None:
        """Draw the populations in hand, and ask about them; while some may be untold, about those that follow, too."""
        rendering = RenderQueue(self.renderer, refill=(lambda: self._advance(rendering)) if self.lag else None)
        try:
            for population in self.pending:
                self._render(population, rendering)
            with self._asking_clock():
                answers = self.oracle.ask(rendering=rendering, on_sent=self._on_sent, on_scored=self._on_scored)
        finally:
            for population in self.pending:
                population.wanted = ()
        if any(answer is None for answer in answers):
            self.stopped_by = "cost"

    def _render(self, population: Population, rendering: RenderQueue) -> None:
        """Have a population drawn, as far as it is to be asked about."""
        left = max(0, self._left - sum(other.under_way for other in self.pending))
        waiting = [id_ for id_ in population.candidates.ids if not population.is_settled(id_)]
        waiting = waiting if self.screen else waiting[:left]
        if not waiting:
            return
        population.image_noise, population.wanted = image_noise_of(self.strategy), tuple(waiting)
        population.plausibility, population.rendered = self._plausibility(population), []
        n = max(*waiting, *population.rows, 0) + 1 - population.candidates.ids[0]
        size = batch_size_of(self.generator)
        blocks = [
            (population.candidates.z[rows], None if population.image_noise is None else population.image_noise[rows])
            for rows in slices(n, size or n)
        ]
        queries = partial(self._queries, population, set(waiting))
        if self.screen is not None:
            n, queries = len(population.candidates), partial(self._screened, population, left)
            blocks = [(population.candidates.z[rows], None) for rows in slices(n, size or n)]
        rendering.add(blocks, queries)

    def _plausibility(self, population: Population) -> Plausibility:
        """Test the candidates' noise; those whose image is not drawn from their noise alone may never win."""
        found = self.objective.plausibility(population.candidates.z)
        return found if population.image_noise is None else found.without(population.image_noise.flatten(1).any(1))

    def _queries(self, population: Population, waiting: set[int], rendered: list[Rendered]) -> list[Query]:
        """Take up the next block of drawn images.

        Raises:
            DriftError: a recorded one looks different now.
        """
        ids = population.candidates.ids[len(population.rendered) :]
        population.rendered += rendered
        for id_, image in zip(ids, rendered, strict=False):
            if id_ in population.rows and population.rows[id_].image != image.sha256:
                self._drift(f"the model draws another image of candidate {id_} than it did")
        return [
            Query(id_, image.image, image.sha256, self.prompt, first_call=image.first_call, no_image=image.no_image)
            for id_, image in zip(ids, rendered, strict=False)
            if id_ in waiting
        ]

    def _screened(self, population: Population, left: int, rendered: list[Rendered]) -> list[Query]:
        """Take up the next block of drawn images; once all are there, choose whom to ask about."""
        assert self.screen is not None
        assert population.plausibility is not None
        everybody = self._queries(population, set(population.candidates.ids), rendered)
        if len(population.rendered) < len(population.candidates):
            return []
        if len(everybody) < len(population.rendered):  # earlier blocks asked nothing yet
            everybody = [
                Query(id_, image.image, image.sha256, self.prompt, no_image=image.no_image)
                for id_, image in zip(population.candidates.ids, population.rendered, strict=True)
            ]
        population.features = np.stack([image_features(array_of(query.image)) for query in everybody])
        chosen = self.screen.choose(
            population.row.number, population.features, population.plausibility.plausible.numpy()
        )
        population.predictions = chosen.predictions
        asked = {population.candidates.ids[place] for place in chosen.places}
        asked |= {query.id for query in everybody if query.no_image}
        for query in everybody:
            if query.id not in asked and query.id not in population.rows:
                row = replace(self._row(query, None), status="screened")
                population.rows[query.id] = row
                self._count(row)
        return [query for query in everybody if query.id in asked and not population.is_settled(query.id)][:left]

    def _ask(self) -> Population:
        with self._clock("strategy"):
            candidates = self.strategy.ask()
        noise = noise_hash(candidates.z)
        row = PopulationRow(self.stage, self._populations, candidates.ids[0], len(candidates), noise)
        if self.artifacts.durable:
            if self.snapshot is not None:
                earlier = {population.row.number: population.candidates for population in self.pending}
                state = self.strategy.state_dict()
                snapshot.save(self.snapshot, snapshot.Snapshot(row.number, candidates, state, earlier))
            self.ledger.put(populations=[row])
        self._populations += 1
        self.pending.append(Population(row, candidates))
        return self.pending[-1]

    def _population_of(self, id_: int) -> Population | None:
        return next((population for population in self.pending if id_ in population.candidates.ids), None)

    def _on_sent(self, queries: list[Query], term: TermOracle | None = None) -> None:
        """Before a dear question leaves, its image and the fact that it leaves are on the disk."""
        if not self.artifacts.durable:
            return
        for query in queries if term is None else ():
            self.artifacts.keep_image(self.stage, query.id, array_of(query.image), query.sha256)
        rows = [self._row(query, None, term) for query in queries]
        self.ledger.put(rows, (), self.artifacts.written())

    def _on_scored(self, responses: Responses, term: TermOracle | None = None) -> None:
        rows = [self._row(query, answer, term) for query, answer in responses]
        if term is not None:
            self.ledger.put(rows)
            return
        if self.artifacts.durable:
            self.ledger.put(rows)  # before anything is counted, kept or learnt
        for row in rows:
            population = self._population_of(row.id)
            assert population is not None
            population.rows[row.id] = row
            self._count(row)

    def _count(self, row: QueryRow, sign: int = 1) -> None:
        self.queries += sign * row.completed
        self.images += sign * row.settled
        if row.status == "missing":
            self.failures[row.error or "no reason given"] += sign

    def _settle(self, population: Population) -> None:
        """Once the first population in hand is complete: write what it is told, keep its best, tell the strategy."""
        recorded = population.told
        told = self._written(population) if recorded is None else self._recalled(population, recorded)
        self._told += len(population.candidates)
        self._keep(population)
        self.pending.popleft()
        if not population.known:
            with self._clock("strategy"):
                self.strategy.tell(population.candidates, told)
        self._look_for_target()
        if self.on_step is not None and population.plausibility is not None:
            self.on_step(self._step(population.plausibility))

    def _recalled(self, population: Population, told: torch.Tensor) -> torch.Tensor:
        """Bring objective and screen to where they were once a recorded population was told."""
        rows = list(population.rows.values())
        plausible = torch.tensor([query.plausible for query in rows])
        self.objective.recall(told, rewards_of(rows), plausible, reward_violations(rows))
        if self.screen is not None:
            if self._recorded_features is None:
                self._recorded_features = self.ledger.features(self.stage)
            known = self._recorded_features
            scored = [row for row in rows if row.value is not None and row.id in known]
            self.screen.learn([known[row.id] for row in scored], [row.value or 0.0 for row in scored])
        return told.float()

    def _written(self, population: Population) -> torch.Tensor:
        """Decide what a population is told, and write it down."""
        if population.plausibility is None:
            population.plausibility = self._plausibility(population)
        rows = [population.rows[id_] for id_ in population.candidates.ids]
        told = self.objective.told(
            population.candidates.z,
            population.rewards,
            population.plausibility,
            regularized=not isinstance(self.strategy, UsesRegularizer),
            penalised=not isinstance(self.strategy, WhiteBox),
            reward_violation=reward_violations(rows),
        )
        told_rows = [
            replace(row, told=None if math.isnan(score) else score, told_seq=self._told + i)
            for i, (row, score) in enumerate(zip(rows, told.tolist(), strict=True))
        ]
        self._learn_to_predict(population)
        self._lap()
        self.ledger.put(told_rows, [self._timed(population.row)], self.artifacts.written())
        return told

    def _learn_to_predict(self, population: Population) -> None:
        if self.screen is None or population.features is None:
            return
        vectors = dict(zip(population.candidates.ids, population.features, strict=True))
        scored = {id_: row.value for id_, row in sorted(population.rows.items()) if row.value is not None}
        self.ledger.put_features(self.stage, {id_: vectors[id_] for id_ in scored})
        self.screen.learn([vectors[id_] for id_ in scored], list(scored.values()))

    def _keep(self, population: Population) -> None:
        """Offer the answered candidates to the archive, in id order."""
        for place, id_ in enumerate(population.candidates.ids):
            row = population.rows.get(id_)
            if row is None or not row.completed or row.perturbed:
                continue
            load = partial(recorded_image, row, population.candidates, place, self.artifacts, self.generator)
            if place < len(population.rendered) and population.rendered[place].sha256 == row.image:
                load = partial(_copy, population.rendered[place].image)
            found = found_of(row, population.candidates.z[place], load, constrained=self.objective.constrained)
            matters = self.archive.offer(found)
            if (matters or id_ % self.artifacts.every == 0) and not self.artifacts.has_image(row.image):
                self.artifacts.keep_image(self.stage, id_, found.image, row.image)
            if matters and self.artifacts.durable:
                self.artifacts.keep_noise(self.stage, id_, found.z)

    def _keep_unfinished(self) -> None:
        """At the end, keep what is known of populations that are not told; they will be when they are complete."""
        for population in self.pending:
            if population.rows:
                self.ledger.put(population.rows.values(), [self._timed(population.row)])
                self._keep(population)

    def _reopen(self, ids: Sequence[int], term: str) -> None:
        """Take back failures that say nothing of the candidates, so that these are asked about again."""
        if term:
            rows = [row for row in self.ledger.queries(self.stage + TERM) if row.oracle == term and row.id in ids]
            self.ledger.put([replace(row, status="asked", cached=False) for row in rows])
            return
        for id_ in ids:
            population = self._population_of(id_)
            if population is not None:  # what was told as missing stays missing
                row = population.rows[id_]
                self._count(row, -1)
                population.rows[id_] = replace(row, status="asked", cached=False)

    def _look_for_target(self) -> None:
        best = self.archive.best
        if self.target is not None and best is not None and best.rank >= (True, self.target):
            self.status = "target"

    def _drift(self, what: str) -> None:
        if not self.accept_drift:
            raise DriftError(what)
        self.drift = self.drift or what

    def _timed(self, row: PopulationRow) -> PopulationRow:
        generate, score, strategy = (self.seconds[phase] for phase in _PHASES)
        return replace(
            row, seconds=self.elapsed, generate_seconds=generate, score_seconds=score, strategy_seconds=strategy
        )

    def _row(self, query: Query, answer: Response | None, term: TermOracle | None = None) -> QueryRow:
        population = self._population_of(query.id)
        assert population is not None
        assert population.plausibility is not None
        tested = population.plausibility.at(query.id - population.candidates.ids[0])
        if term is not None:
            earlier = term.earlier(query)
            return query_row(self.stage + TERM, population.row.number, term, tested, query, answer, earlier)
        earlier = population.rows.get(query.id)
        return query_row(self.stage, population.row.number, self.oracle.reward, tested, query, answer, earlier)

    def _step(self, plausibility: Plausibility) -> Step:
        spent = sum(self.seconds[name] for name in _PHASES)
        return Step(
            stage=self.stage,
            queries=self.queries,
            planned=self.budget.queries,
            failed=self.failed,
            best=self.archive.best,
            median_log_prob=float(plausibility.log_prob.median()),
            sigma=getattr(self.strategy, "step_size", None),
            images_per_second=self.queries / spent if spent else math.nan,
            cost=self.oracle.purse.spent,
            actor_pools=self.actor_pools,
        )

    @contextmanager
    def _asking_clock(self) -> Iterator[None]:
        """Count the time in which images were drawn, and the rest as waiting for scores."""
        self._lap_from = (time.perf_counter(), self.renderer.busy, self.seconds["strategy"])
        try:
            yield
        finally:
            self._lap()
            self._lap_from = None

    def _lap(self) -> None:
        """Count the time since the last lap, while images are being drawn and asked about."""
        if self._lap_from is None:
            return
        started, busy, strategy = self._lap_from
        self._lap_from = (time.perf_counter(), self.renderer.busy, self.seconds["strategy"])
        rendering = self._lap_from[1] - busy
        seconds = self._lap_from[0] - started - (self._lap_from[2] - strategy)
        self.seconds["generate"] += min(rendering, seconds)
        self.seconds["score"] += max(0.0, seconds - rendering)

    @contextmanager
    def _clock(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] += time.perf_counter() - started


def _copy(image: AnyImage) -> np.ndarray:
    """Return an image by itself, since one block holds many."""
    return np.copy(array_of(image))
