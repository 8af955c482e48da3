"""The loop: ask for noise, draw it, score it, write it down, tell the strategy."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from zo_dno import snapshot
from zo_dno.archive import Archive, Found
from zo_dno.artefacts import Artefacts
from zo_dno.budget import Budget, Limit
from zo_dno.combined import CombinedOracle, PartOracle
from zo_dno.drawing import Drawer, Drawing, draw
from zo_dno.images import noise_hash
from zo_dno.ledger import PART, Ledger, PopulationRow, Query
from zo_dno.objective import Objective, Plausibility
from zo_dno.oracle import Oracle, PauseError
from zo_dno.population import Population, rewards_of, shortfall_of
from zo_dno.recorded import found_of, recorded_image
from zo_dno.round import Placed
from zo_dno.rows import query_row
from zo_dno.screening import Screen
from zo_dno.strategy import Strategy, UsesRegularizer, WhiteBox
from zo_dno.surrogate import image_features
from zo_dno.types import Answer, AnyImage, Candidates, Drawn, Generator, Question, array_of, slices
from zo_dno.white_box import Opened, image_noise_of

if TYPE_CHECKING:
    from zo_dno.crew import Crew

Status = Literal["finished", "target", "interrupted", "paused", "infeasible"]
_PARTS = ("generate", "score", "strategy")


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
    crews: tuple["Crew", ...] = ()


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
        crews: actors that draw and score.
        screen: decides whom to ask about, where more is drawn than asked.
    """

    generator: Generator
    drawer: Drawer
    oracle: Oracle | CombinedOracle
    strategy: Strategy
    objective: Objective
    budget: Budget
    ledger: Ledger
    archive: Archive
    artefacts: Artefacts
    prompt: str = ""
    target: float | None = None
    stage: str = "search"
    snapshot: Path | None = None
    accept_drift: bool = False
    on_step: Callable[[Step], None] | None = None
    crews: tuple["Crew", ...] = ()
    screen: Screen | None = None

    status: Status = "finished"
    stopped_by: Limit | None = None
    pause: PauseError | None = None
    queries: int = 0
    images: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    drift: str | None = None  # what came out differently, and was accepted
    hand: Population | None = None  # asked for, and not told yet
    _recorded_features: dict[int, np.ndarray] | None = None
    _interrupted: bool = False
    _populations: int = 0
    _told: int = 0
    _started: float = field(default_factory=time.perf_counter)

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
    def _nfe_a_query(self) -> int:
        return self.generator.nfe * (self.screen.factor if self.screen else 1)

    def interrupt(self) -> None:
        """Stop from another thread, as Ctrl-C does in this one."""
        self._interrupted = True
        self.oracle.interrupt()

    def run(self) -> None:
        """Search until the budget is spent, the target is reached, asking is useless or somebody presses Ctrl-C."""
        try:
            self._finish_hand()
            self._look_for_target()
            while self.status == "finished" and self.stopped_by is None:
                if self._interrupted:
                    raise KeyboardInterrupt
                left = self.budget.left(self.queries, self.elapsed, self._nfe_a_query)
                if left:
                    self._population(left)
                else:
                    self.stopped_by = self.budget.limit(self.queries, self._nfe_a_query)
        except KeyboardInterrupt:
            self.status = "interrupted"
        except PauseError as pause:
            self.status, self.pause = "paused", pause
            self._reopen([question.id for question in pause.unanswered], pause.part)
        self._keep_part()
        self.ledger.put(artefacts=self.artefacts.flush())
        best = self.archive.best
        if self.status == "finished" and best is not None and not best.eligible:
            self.status = "infeasible"
        self.seconds["total"] = self.elapsed
        self.seconds["other"] = self.seconds["total"] - sum(self.seconds[name] for name in _PARTS)

    def recall(self, row: PopulationRow, candidates: Candidates, rows: list[Query], *, tell: bool = True) -> None:
        """Take up a recorded population where it was left: tell what was told, and have the rest in hand.

        Args:
            row: of the population.
            candidates: what the strategy has just asked for again.
            rows: of its queries.
            tell: the strategy does not know their scores yet.
        """
        self._populations = row.number + 1
        self.seconds["earlier"] = max(self.seconds["earlier"], row.seconds)
        for part in _PARTS:
            self.seconds[part] = max(self.seconds[part], getattr(row, f"{part}_seconds"))
        for query in rows:
            self._count(query)
        population = Population(row, candidates, {query.id: query for query in rows})
        if not all(query.told_seq is not None for query in rows) or len(rows) < row.size:
            self.hand = population
            return
        told = torch.tensor([math.nan if query.told is None else query.told for query in rows], dtype=torch.float64)
        feasible = torch.tensor([query.feasible for query in rows])
        self.objective.recall(told, rewards_of(rows), feasible, shortfall_of(rows))
        self._told += len(rows)
        if self.screen is not None:
            if self._recorded_features is None:
                self._recorded_features = self.ledger.features(self.stage)
            known = self._recorded_features
            scored = [row for row in rows if row.value is not None and row.id in known]
            self.screen.learn([known[row.id] for row in scored], [row.value or 0.0 for row in scored])
        self._keep(population)
        if tell:
            self.strategy.tell(candidates, told.float())

    def compare_images(self, candidates: Candidates, rows: Sequence[Query]) -> None:
        """Draw recorded candidates again.

        Raises:
            DriftError: their images differ.
        """
        images = draw(self.generator, candidates.z, image_noise_of(self.strategy))
        for row in rows:
            if images[row.id - candidates.ids[0]].sha256 != row.image:
                self._drift(f"the model draws another image of candidate {row.id} than it did")

    def _population(self, left: int) -> None:
        hand = self.hand or self._ask()
        hand.image_noise = image_noise_of(self.strategy)
        hand.plausibility, hand.drawn = self._plausibility(hand), []
        waiting = [id_ for id_ in hand.candidates.ids if not hand.is_settled(id_)]
        waiting = waiting if self.screen else waiting[:left]
        n = max(*waiting, *hand.rows, 0) + 1 - hand.candidates.ids[0]
        size = getattr(self.generator, "batch_size", None)
        blocks = [
            (hand.candidates.z[rows], None if hand.image_noise is None else hand.image_noise[rows])
            for rows in slices(n, size or n)
        ]
        questions = partial(self._questions, hand, set(waiting))
        if self.screen is not None:
            n, questions = len(hand.candidates), partial(self._screened, hand, left)
            blocks = [(hand.candidates.z[rows], None) for rows in slices(n, size or n)]
        drawing = Drawing(self.drawer, blocks, questions)
        with self._asking_clock():
            answers = self.oracle.ask(
                drawing=drawing, on_asked=partial(self._on_asked, hand), on_answered=partial(self._on_answered, hand)
            )
        if any(answer is None for answer in answers):
            self.stopped_by = "cost"
        self._finish_hand()

    def _plausibility(self, hand: Population) -> Plausibility:
        """Test the candidates' noise; those whose image is not drawn from their noise alone may never win."""
        found = self.objective.plausibility(hand.candidates.z)
        return found if hand.image_noise is None else found.without(hand.image_noise.flatten(1).any(1))

    def _questions(self, hand: Population, waiting: set[int], drawn: list[Drawn]) -> list[Question]:
        """Take up the next block of drawn images.

        Raises:
            DriftError: a recorded one looks different now.
        """
        ids = hand.candidates.ids[len(hand.drawn) :]
        hand.drawn += drawn
        for id_, image in zip(ids, drawn, strict=False):
            if id_ in hand.rows and hand.rows[id_].image != image.sha256:
                self._drift(f"the model draws another image of candidate {id_} than it did")
        return [
            Question(id_, image.image, image.sha256, self.prompt, outcome=image.outcome, no_image=image.no_image)
            for id_, image in zip(ids, drawn, strict=False)
            if id_ in waiting
        ]

    def _screened(self, hand: Population, left: int, drawn: list[Drawn]) -> list[Question]:
        """Take up the next block of drawn images; once all are there, choose whom to ask about."""
        assert self.screen is not None
        assert hand.plausibility is not None
        everybody = self._questions(hand, set(hand.candidates.ids), drawn)
        if len(hand.drawn) < len(hand.candidates):
            return []
        if len(everybody) < len(hand.drawn):  # earlier blocks asked nothing yet
            everybody = [
                Question(id_, image.image, image.sha256, self.prompt, no_image=image.no_image)
                for id_, image in zip(hand.candidates.ids, hand.drawn, strict=True)
            ]
        hand.features = np.stack([image_features(array_of(question.image)) for question in everybody])
        chosen = self.screen.choose(hand.row.number, hand.features, hand.plausibility.feasible.numpy())
        hand.guesses = chosen.guesses
        asked = {hand.candidates.ids[place] for place in chosen.places}
        asked |= {question.id for question in everybody if question.no_image}
        for question in everybody:
            if question.id not in asked and question.id not in hand.rows:
                row = replace(self._row(hand, question, None), status="screened")
                hand.rows[question.id] = row
                self._count(row)
        return [question for question in everybody if question.id in asked and not hand.is_settled(question.id)][:left]

    def _ask(self) -> Population:
        with self._clock("strategy"):
            candidates = self.strategy.ask()
        noise = noise_hash(candidates.z)
        row = PopulationRow(self.stage, self._populations, candidates.ids[0], len(candidates), noise)
        if self.artefacts.durable:
            if self.snapshot is not None:
                snapshot.save(self.snapshot, snapshot.Snapshot(row.number, candidates, self.strategy.state_dict()))
            self.ledger.put(populations=[row])
        self._populations += 1
        self.hand = Population(row, candidates)
        return self.hand

    def _on_asked(self, hand: Population, questions: list[Question], part: PartOracle | None = None) -> None:
        """Before a dear question leaves, its image and the fact that it leaves are on the disk."""
        if not self.artefacts.durable:
            return
        for question in questions if part is None else ():
            self.artefacts.keep_image(self.stage, question.id, array_of(question.image), question.sha256)
        rows = [self._row(hand, question, None, part) for question in questions]
        self.ledger.put(rows, (), self.artefacts.written())

    def _on_answered(self, hand: Population, placed: Placed, part: PartOracle | None = None) -> None:
        rows = [self._row(hand, question, answer, part) for question, answer in placed]
        if part is not None:
            self.ledger.put(rows)
            return
        if self.artefacts.durable:
            self.ledger.put(rows)  # before anything is counted, kept or learnt
        hand.rows |= {row.id: row for row in rows}
        for row in rows:
            self._count(row)

    def _count(self, row: Query, sign: int = 1) -> None:
        self.queries += sign * row.answered
        self.images += sign * row.settled
        if row.status == "missing":
            self.failures[row.error or "no reason given"] += sign

    def _finish_hand(self) -> None:
        """Once a whole population is answered: write what it is told, keep its best, tell the strategy."""
        hand = self.hand
        if hand is None or not hand.complete:
            return
        if hand.plausibility is None:
            hand.plausibility = self._plausibility(hand)
        rows = [hand.rows[id_] for id_ in hand.candidates.ids]
        told = self.objective.told(
            hand.candidates.z,
            hand.rewards,
            hand.plausibility,
            regularized=not isinstance(self.strategy, UsesRegularizer),
            penalised=not isinstance(self.strategy, WhiteBox),
            shortfall=shortfall_of(rows),
        )
        told_rows = [
            replace(row, told=None if math.isnan(score) else score, told_seq=self._told + i)
            for i, (row, score) in enumerate(zip(rows, told.tolist(), strict=True))
        ]
        self._learn_to_guess(hand)
        self.ledger.put(told_rows, [self._timed(hand.row)], self.artefacts.written())
        self._told += len(rows)
        self._keep(hand)
        self.hand = None
        with self._clock("strategy"):
            self.strategy.tell(hand.candidates, told)
        self._look_for_target()
        if self.on_step is not None:
            self.on_step(self._step(hand.plausibility))

    def _learn_to_guess(self, hand: Population) -> None:
        if self.screen is None or hand.features is None:
            return
        vectors = dict(zip(hand.candidates.ids, hand.features, strict=True))
        scored = {id_: row.value for id_, row in sorted(hand.rows.items()) if row.value is not None}
        self.ledger.put_features(self.stage, {id_: vectors[id_] for id_ in scored})
        self.screen.learn([vectors[id_] for id_ in scored], list(scored.values()))

    def _keep(self, population: Population) -> None:
        """Offer the answered candidates to the archive, in id order."""
        for place, id_ in enumerate(population.candidates.ids):
            row = population.rows.get(id_)
            if row is None or not row.answered or row.perturbed:
                continue
            load = partial(recorded_image, row, population.candidates, place, self.artefacts, self.generator)
            if place < len(population.drawn) and population.drawn[place].sha256 == row.image:
                load = partial(_copy, population.drawn[place].image)
            found = found_of(row, population.candidates.z[place], load, constrained=self.objective.constrained)
            matters = self.archive.offer(found)
            if (matters or id_ % self.artefacts.every == 0) and not self.artefacts.has_image(row.image):
                self.artefacts.keep_image(self.stage, id_, found.image, row.image)
            if matters and self.artefacts.durable:
                self.artefacts.keep_noise(self.stage, id_, found.z)

    def _keep_part(self) -> None:
        """At the end, keep what is known of a population that is not complete; it will be told when it is."""
        if self.hand is not None and self.hand.rows:
            self.ledger.put(self.hand.rows.values(), [self._timed(self.hand.row)])
            self._keep(self.hand)

    def _reopen(self, ids: Sequence[int], part: str) -> None:
        """Take back failures that say nothing of the candidates, so that these are asked about again."""
        if part:
            rows = [row for row in self.ledger.queries(self.stage + PART) if row.oracle == part and row.id in ids]
            self.ledger.put([replace(row, status="asked", cached=False) for row in rows])
            return
        assert self.hand is not None
        for id_ in ids:
            row = self.hand.rows[id_]
            self._count(row, -1)
            self.hand.rows[id_] = replace(row, status="asked", cached=False)

    def _look_for_target(self) -> None:
        best = self.archive.best
        if self.target is not None and best is not None and best.rank >= (True, self.target):
            self.status = "target"

    def _drift(self, what: str) -> None:
        if not self.accept_drift:
            raise DriftError(what)
        self.drift = self.drift or what

    def _timed(self, row: PopulationRow) -> PopulationRow:
        generate, score, strategy = (self.seconds[part] for part in _PARTS)
        return replace(
            row, seconds=self.elapsed, generate_seconds=generate, score_seconds=score, strategy_seconds=strategy
        )

    def _row(
        self, hand: Population, question: Question, answer: Answer | None, part: PartOracle | None = None
    ) -> Query:
        assert hand.plausibility is not None
        tested = hand.plausibility.at(question.id - hand.candidates.ids[0])
        if part is not None:
            earlier = part.earlier(question)
            return query_row(self.stage + PART, hand.row.number, part, tested, question, answer, earlier)
        earlier = hand.rows.get(question.id)
        return query_row(self.stage, hand.row.number, self.oracle.reward, tested, question, answer, earlier)

    def _step(self, plausibility: Plausibility) -> Step:
        spent = sum(self.seconds[name] for name in _PARTS)
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
            crews=self.crews,
        )

    @contextmanager
    def _asking_clock(self) -> Iterator[None]:
        """Count the time in which images were drawn, and the rest as waiting for scores."""
        started, busy = time.perf_counter(), self.drawer.busy
        try:
            yield
        finally:
            seconds, drawing = time.perf_counter() - started, self.drawer.busy - busy
            self.seconds["generate"] += min(drawing, seconds)
            self.seconds["score"] += max(0.0, seconds - drawing)

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started


def _copy(image: AnyImage) -> np.ndarray:
    """Return an image by itself, since one block holds many."""
    return np.copy(array_of(image))
