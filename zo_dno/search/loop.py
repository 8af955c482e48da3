"""The loop: ask for noise, render it, score it, record it, tell the strategy."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from zo_dno.generators.renderer import Renderer
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.ctrl_c import deferred
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.search.archive import Archive
from zo_dno.search.blocks import Blocks
from zo_dno.search.choices import recorded_choices
from zo_dno.search.details import tell_details
from zo_dno.search.drift import DriftCheck
from zo_dno.search.limits import Limit, Limits
from zo_dno.search.objective import Objective
from zo_dno.search.population import PendingPopulations, Population, reward_violations, rewards_of, told_before
from zo_dno.search.preselection import Preselection
from zo_dno.search.progress import ActorPoolStatus, Counts, Status, Step
from zo_dno.search.proposals import ask, failures_named
from zo_dno.search.queries import QueryMaker
from zo_dno.search.recorder import Failed, Recorder
from zo_dno.search.stopwatch import Stopwatch
from zo_dno.search.white_box import Opened
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.images import noise_hash
from zo_dno.storage.ledger import Ledger, PopulationRow, QueryRow
from zo_dno.strategy import Asynchronous, HasStepSize, Strategy, UsesRegularizer, WhiteBox
from zo_dno.types import Candidates, Generator, array_of


@dataclass(slots=True)
class Search:
    """One search, from its first candidate to the end of its budget.

    Args:
        generator: Generator of the images.
        renderer: Renderer of that generator.
        oracle: Oracle that scores the images.
        strategy: Strategy that proposes the noise.
        objective: Objective that turns rewards into the scores to tell.
        limits: Limits of the search.
        ledger: Ledger of the run.
        archive: Archive of the candidates worth keeping.
        artifacts: Files of the run.
        prompt: Prompt of the images.
        target: Reward of a feasible candidate that ends the search.
        stage: Stage of the queries in the ledger.
        snapshot: Path of the strategy's state; None keeps none.
        accept_drift: Whether a resumed search continues although the model renders other images than the recorded ones.
        on_step: Function that is called with the progress after every population.
        actor_pools: Pools of the actors that render and score.
        preselection: Selection of the candidates to query, of several images per query.
        blocks: Blocks in which populations are rendered.
        failed: List that takes the failed queries of settled populations; None keeps none.
    Attributes:
        status: Outcome of the search.
        stopped_by: Limit that ended it.
        pause: Reason of a pause.
        pending: Populations that the strategy proposed and is not told yet.
        drift: Check of the recorded images.
        counts: Numbers of queries, images and failures.
        stopwatch: Wall-clock seconds by phase.
    """

    generator: Generator
    renderer: Renderer
    oracle: Oracle | CombinedOracle
    strategy: Strategy
    objective: Objective
    limits: Limits
    ledger: Ledger
    archive: Archive
    artifacts: Artifacts
    prompt: str = ""
    target: float | None = None
    stage: str = "search"
    snapshot: Path | None = None
    accept_drift: bool = False
    on_step: Callable[[Step], None] | None = None
    actor_pools: tuple[ActorPoolStatus, ...] = ()
    preselection: Preselection | None = None
    blocks: Blocks = field(default_factory=Blocks)
    failed: list[Failed] | None = None

    status: Status = field(default="finished", init=False)
    stopped_by: Limit | None = field(default=None, init=False)
    pause: PauseError | None = field(default=None, init=False)
    pending: PendingPopulations = field(default_factory=PendingPopulations, init=False)
    drift: DriftCheck = field(init=False)
    counts: Counts = field(default_factory=Counts, init=False)
    stopwatch: Stopwatch = field(init=False)
    _recorder: Recorder = field(init=False)
    _queries: QueryMaker = field(init=False)
    _opened: Opened | None = field(default=None, init=False)
    _interrupted: bool = field(default=False, init=False)
    _populations: int = field(default=0, init=False)
    _last_images: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.stopwatch, self.drift = Stopwatch(self.renderer), DriftCheck(accept=self.accept_drift)
        self._recorder = Recorder(
            *(self.stage, self.oracle.reward, self.ledger, self.artifacts, self.archive, self.generator, self.blocks),
            *(self.pending, self.counts, self.stopwatch, self.snapshot, self.objective.constrained, self.failed),
        )
        self._queries = QueryMaker(
            *(self.blocks, self.strategy, self.objective, self._recorder, self.drift, self.preselection),
            self.prompt,
        )
        if isinstance(self.strategy, UsesRegularizer) and (self.objective.gamma > 0 or self.objective.adapts):
            self.strategy.use_regularizer(self.objective.regularizer)
        if isinstance(self.strategy, WhiteBox):
            self._opened = Opened(self.generator, self.oracle.reward, self.objective, self.blocks)
            self.strategy.use_model(self._opened)

    @property
    def nfe(self) -> int:
        """Denoiser calls for the images of all settled candidates, and for those that the strategy rendered itself."""
        return (self.counts.images + self.strategy_images) * self.generator.nfe

    @property
    def unused_images(self) -> int:
        """Images that were rendered in blocks with others, but not scored."""
        used = {row.id for row in self.ledger.queries(self.stage) if row.settled}
        return self.blocks.unused(self.ledger.populations(self.stage), used)

    @property
    def lag(self) -> int:
        """Number of populations that the strategy need not know when it is asked for the next."""
        return self.strategy.lag if isinstance(self.strategy, Asynchronous) else 0

    @property
    def _progress(self) -> tuple[int, ...]:
        """Numbers of which one changes in every round of a search that comes to an end."""
        known = (sum(one.complete for one in self.pending), sum(len(one.rows) for one in self.pending))
        return self._populations, len(self.pending), *known, self.counts.queries

    @property
    def strategy_images(self) -> int:
        """Images that the strategy rendered itself; a gradient counts as its image."""
        return self._opened.images if self._opened is not None else 0

    @property
    def _own_nfe(self) -> int:
        """Denoiser calls of the strategy itself, and before it is asked again as many as it took for that last time."""
        return (self.strategy_images + (0 if self.pending else self._last_images)) * self.generator.nfe

    @property
    def _nfe_per_query(self) -> int:
        return self.generator.nfe * (self.preselection.factor if self.preselection else 1)

    @property
    def _left(self) -> int:
        return self.limits.left(self.counts.queries, self.stopwatch.elapsed, self._nfe_per_query, self._own_nfe)

    @property
    def _may_ask(self) -> bool:
        """Whether the budget covers more candidates than the pending ones."""
        stopped = self.status != "finished" or self.stopped_by is not None or self._interrupted
        return not stopped and self._left > self.pending.unsettled

    def interrupt(self) -> None:
        """Stop from another thread, as Ctrl-C does in this one."""
        self._interrupted = True
        self.oracle.interrupt()

    def run(self) -> None:
        """Search until the budget is spent, the target is reached, further queries are useless or Ctrl-C comes."""
        try:
            self._look_for_target()
            self._advance()
            if self.preselection is not None and self.pending and self.pending[0].rows and not self._left:
                self._score_pending()  # sends nothing: its last responses came, but those left out were not recorded
                self._advance()
            while self.status == "finished" and self.stopped_by is None:
                if self._interrupted:
                    raise KeyboardInterrupt
                if self._left:
                    before = self._progress
                    self._score_pending()
                    self._advance()
                    if self._progress == before and self.stopped_by is None and self._left:  # time may have run out
                        raise AssertionError("the search makes no progress; please report this")
                else:
                    self.stopped_by = self.limits.limit(self.counts.queries, self._nfe_per_query, self._own_nfe)
        except KeyboardInterrupt:
            self.status = "interrupted"
        except PauseError as pause:
            self.status, self.pause = "paused", pause
            self._recorder.reopen(pause)
        with deferred(self.interrupt):
            self._recorder.end()
        best = self.archive.best
        if self.status == "finished" and best is not None and not best.feasible:
            self.status = "infeasible"
        self.stopwatch.stop()

    def recall(self, row: PopulationRow, candidates: Candidates, rows: list[QueryRow], *, known: bool = False) -> None:
        """Add a population of an earlier session to the pending ones, as far as it was scored.

        Args:
            row: Row of the population.
            candidates: Candidates that the strategy has just proposed again.
            rows: Rows of its queries.
            known: Whether the strategy knows their scores already.
        """
        self._populations = row.number + 1
        self.stopwatch.recall(row)
        for query in rows:
            self.counts.add(query)
        population = Population(row, candidates, {query.id: query for query in rows}, known=known)
        population.told = told_before(population)
        self.pending.append(population)

    def recall_more(self, rows: list[QueryRow]) -> None:
        """Add rows of an earlier session to the last pending population, of which only the first were recalled."""
        population = self.pending[-1]
        for query in rows:
            self.counts.add(query)
            population.rows[query.id] = query
        population.told = told_before(population)

    def settle(self) -> None:
        """Decide and record the scores of the first pending population, which is complete, and tell the strategy."""
        population = self.pending[0]
        # before it is recorded that the strategy was told
        choices = recorded_choices(self.oracle.reward, self.ledger, self.stage, population)
        told = self._told(population) if population.told is None else self._recalled(population, population.told)
        self._recorder.settle(population)
        self.pending.popleft()
        if not population.known:
            tell_details(self.strategy, self.oracle, population, choices, self.objective, self.archive)
            with self.stopwatch.strategy(), failures_named(self.strategy, "tell"):
                self.strategy.tell(population.candidates, told)
        self._look_for_target()
        if self.on_step is not None and population.plausibility is not None:
            self.on_step(self._step(float(population.plausibility.log_prob.median())))

    def _advance(self, rendering: RenderQueue | None = None) -> None:
        """Tell complete populations and ask for as many as may be pending, in a fixed order.

        Args:
            rendering: Queue in use, which takes the new populations.
        """
        while True:
            if len(self.pending) <= self.lag and self._may_ask:
                population = self._ask()
                if rendering is not None:
                    self._add(population, rendering)
            elif self.pending and self.pending[0].complete:
                self.settle()
            else:
                return

    def proposals(self) -> Candidates:
        """Ask the strategy for its next population."""
        before = self.strategy_images
        candidates = ask(self.strategy)
        self._last_images = self.strategy_images - before
        return candidates

    def _ask(self) -> Population:
        with self.stopwatch.strategy():
            candidates = self.proposals()
        row = PopulationRow(self.stage, self._populations, candidates.ids[0], len(candidates), noise_hash(candidates.z))
        population = Population(row, candidates)
        self._recorder.proposed(population, self.strategy)
        self._populations += 1
        self.pending.append(population)
        return population

    def _score_pending(self) -> None:
        """Render and score the pending populations, and with a lag those that the strategy proposes meanwhile."""
        rendering = RenderQueue(self.renderer, refill=(lambda: self._advance(rendering)) if self.lag else None)
        try:
            for population in self.pending:
                self._add(population, rendering)
            with self.stopwatch.scoring():
                responses = self.oracle.ask(
                    rendering=rendering, on_sent=self._recorder.on_sent, on_scored=self._recorder.on_scored
                )
        finally:
            for population in self.pending:
                population.queried = ()
        if any(response is None for response in responses):
            self.stopped_by = "cost"

    def _add(self, population: Population, rendering: RenderQueue) -> None:
        """Add a population to a render queue, as far as the budget covers it."""
        self._queries.add(population, rendering, max(0, self._left - self.pending.in_flight))

    def _told(self, population: Population) -> torch.Tensor:
        """Decide the scores that the strategy is told, and record them."""
        rows = [population.rows[id_] for id_ in population.candidates.ids]
        if population.plausibility is None:  # all of it was scored in an earlier session, which did not tell it
            found = self._queries.plausibility(population)
            population.plausibility = found.with_perturbed(torch.tensor([row.perturbed for row in rows]))
        told = self.objective.told(
            population.candidates.z,
            population.rewards,
            population.plausibility,
            regularized=not isinstance(self.strategy, UsesRegularizer),
            penalized=not (isinstance(self.strategy, WhiteBox) and self.strategy.needs_gradient),
            reward_violation=reward_violations(rows),
        )
        if self.preselection is not None:
            if population.features is None:
                images = self.blocks.render(self.generator, population.candidates)
                self.preselection.see(population, [array_of(one.image) for one in images])
            self.preselection.learn_from(population, self.ledger)
        self.stopwatch.lap()
        self._recorder.told(population, told)
        return told

    def _recalled(self, population: Population, told: torch.Tensor) -> torch.Tensor:
        """Bring objective and pre-selection to their states after a population of an earlier session."""
        rows = [population.rows[id_] for id_ in population.candidates.ids]
        plausible, perturbed = (
            torch.tensor([getattr(row, name) for row in rows]) for name in ("plausible", "perturbed")
        )
        self.objective.recall(told, rewards_of(rows), plausible, reward_violations(rows), perturbed)
        if self.preselection is not None:
            self.preselection.recall(rows, self.ledger)
        return told.float()

    def _look_for_target(self) -> None:
        best = self.archive.best
        if self.target is not None and best is not None and best.rank >= (True, self.target):
            self.status = "target"

    def _step(self, median_log_prob: float) -> Step:
        spent = self.stopwatch.in_phases
        return Step(
            stage=self.stage,
            queries=self.counts.queries,
            planned=self.limits.queries,
            failed=self.counts.failed,
            best=self.archive.best,
            median_log_prob=median_log_prob,
            sigma=self.strategy.step_size if isinstance(self.strategy, HasStepSize) else None,
            images_per_second=self.counts.queries / spent if spent else math.nan,
            cost=self.oracle.purse.spent,
            actor_pools=self.actor_pools,
        )
