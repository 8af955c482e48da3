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

from zo_dno.generators.renderer import Drawer, Drawing, draw
from zo_dno.oracle.combination.oracle import CombinedOracle, PartOracle
from zo_dno.oracle.oracle import Oracle, PauseError
from zo_dno.oracle.question_queue import Placed
from zo_dno.search.archive import Archive, Found
from zo_dno.search.budget import Budget, Limit
from zo_dno.search.objective import Objective, Plausibility
from zo_dno.search.population import Population, rewards_of, shortfall_of
from zo_dno.search.recorded import found_of, recorded_image
from zo_dno.search.screening import Screen
from zo_dno.search.surrogate import image_features
from zo_dno.search.white_box import Opened, image_noise_of
from zo_dno.storage import snapshot
from zo_dno.storage.artifacts import Artefacts
from zo_dno.storage.images import noise_hash
from zo_dno.storage.ledger import PART, Ledger, PopulationRow, Query
from zo_dno.storage.rows import query_row
from zo_dno.strategy import Strategy, UsesRegularizer, WhiteBox
from zo_dno.types import Answer, AnyImage, Candidates, Drawn, Generator, Question, array_of, slices

if TYPE_CHECKING:
    from zo_dno.distributed.actor_pool import Crew

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
    hands: deque[Population] = field(default_factory=deque)  # asked for and not told yet, in order
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
        return not stopped and self._left > sum(hand.unsettled for hand in self.hands)

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
                    self._ask_about_hands()
                    self._advance()
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

    def recall(self, row: PopulationRow, candidates: Candidates, rows: list[Query], *, known: bool = False) -> None:
        """Take a recorded population in hand where it was left.

        Args:
            row: of the population.
            candidates: what the strategy has just asked for again.
            rows: of its queries.
            known: the strategy knows their scores already.
        """
        self._populations = row.number + 1
        self.seconds["earlier"] = max(self.seconds["earlier"], row.seconds)
        for part in _PARTS:
            self.seconds[part] = max(self.seconds[part], getattr(row, f"{part}_seconds"))
        for query in rows:
            self._count(query)
        hand = Population(row, candidates, {query.id: query for query in rows}, known=known)
        if all(query.told_seq is not None for query in rows) and len(rows) == row.size:
            hand.told = torch.tensor([math.nan if row.told is None else row.told for row in rows], dtype=torch.float64)
        self.hands.append(hand)

    def catch_up(self, most: int) -> None:
        """Tell what is recorded, until at most so many populations are in hand.

        Raises:
            DriftError: one of them was never complete.
        """
        while len(self.hands) > most:
            if not self.hands[0].complete:
                raise DriftError(f"population {self.hands[0].row.number} was not waited for as it is now")
            self._settle(self.hands[0])

    def compare_images(self, candidates: Candidates, rows: Sequence[Query]) -> None:
        """Draw recorded candidates again.

        Raises:
            DriftError: their images differ.
        """
        images = draw(self.generator, candidates.z, image_noise_of(self.strategy))
        for row in rows:
            if images[row.id - candidates.ids[0]].sha256 != row.image:
                self._drift(f"the model draws another image of candidate {row.id} than it did")

    def _advance(self, drawing: Drawing | None = None) -> None:
        """Tell complete populations, and ask for as many as may be in hand, each in its turn.

        Args:
            drawing: that is under way, which goes on with those that are asked for.
        """
        while True:
            if len(self.hands) <= self.lag and self._may_ask:
                hand = self._ask()
                if drawing is not None:
                    self._draw(hand, drawing)
            elif self.hands and self.hands[0].complete:
                self._settle(self.hands[0])
            else:
                return

    def _ask_about_hands(self) -> None:
        """Draw the populations in hand, and ask about them; while some may be untold, about those that follow, too."""
        drawing = Drawing(self.drawer, more=(lambda: self._advance(drawing)) if self.lag else None)
        try:
            for hand in self.hands:
                self._draw(hand, drawing)
            with self._asking_clock():
                answers = self.oracle.ask(drawing=drawing, on_asked=self._on_asked, on_answered=self._on_answered)
        finally:
            for hand in self.hands:
                hand.wanted = ()
        if any(answer is None for answer in answers):
            self.stopped_by = "cost"

    def _draw(self, hand: Population, drawing: Drawing) -> None:
        """Have a population drawn, as far as it is to be asked about."""
        left = max(0, self._left - sum(other.under_way for other in self.hands))
        waiting = [id_ for id_ in hand.candidates.ids if not hand.is_settled(id_)]
        waiting = waiting if self.screen else waiting[:left]
        if not waiting:
            return
        hand.image_noise, hand.wanted = image_noise_of(self.strategy), tuple(waiting)
        hand.plausibility, hand.drawn = self._plausibility(hand), []
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
        drawing.add(blocks, questions)

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
                row = replace(self._row(question, None), status="screened")
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
                earlier = {hand.row.number: hand.candidates for hand in self.hands}
                state = self.strategy.state_dict()
                snapshot.save(self.snapshot, snapshot.Snapshot(row.number, candidates, state, earlier))
            self.ledger.put(populations=[row])
        self._populations += 1
        self.hands.append(Population(row, candidates))
        return self.hands[-1]

    def _hand_of(self, id_: int) -> Population | None:
        return next((hand for hand in self.hands if id_ in hand.candidates.ids), None)

    def _on_asked(self, questions: list[Question], part: PartOracle | None = None) -> None:
        """Before a dear question leaves, its image and the fact that it leaves are on the disk."""
        if not self.artefacts.durable:
            return
        for question in questions if part is None else ():
            self.artefacts.keep_image(self.stage, question.id, array_of(question.image), question.sha256)
        rows = [self._row(question, None, part) for question in questions]
        self.ledger.put(rows, (), self.artefacts.written())

    def _on_answered(self, placed: Placed, part: PartOracle | None = None) -> None:
        rows = [self._row(question, answer, part) for question, answer in placed]
        if part is not None:
            self.ledger.put(rows)
            return
        if self.artefacts.durable:
            self.ledger.put(rows)  # before anything is counted, kept or learnt
        for row in rows:
            hand = self._hand_of(row.id)
            assert hand is not None
            hand.rows[row.id] = row
            self._count(row)

    def _count(self, row: Query, sign: int = 1) -> None:
        self.queries += sign * row.answered
        self.images += sign * row.settled
        if row.status == "missing":
            self.failures[row.error or "no reason given"] += sign

    def _settle(self, hand: Population) -> None:
        """Once the first population in hand is complete: write what it is told, keep its best, tell the strategy."""
        recorded = hand.told
        told = self._written(hand) if recorded is None else self._recalled(hand, recorded)
        self._told += len(hand.candidates)
        self._keep(hand)
        self.hands.popleft()
        if not hand.known:
            with self._clock("strategy"):
                self.strategy.tell(hand.candidates, told)
        self._look_for_target()
        if self.on_step is not None and hand.plausibility is not None:
            self.on_step(self._step(hand.plausibility))

    def _recalled(self, hand: Population, told: torch.Tensor) -> torch.Tensor:
        """Bring objective and screen to where they were once a recorded population was told."""
        rows = list(hand.rows.values())
        feasible = torch.tensor([query.feasible for query in rows])
        self.objective.recall(told, rewards_of(rows), feasible, shortfall_of(rows))
        if self.screen is not None:
            if self._recorded_features is None:
                self._recorded_features = self.ledger.features(self.stage)
            known = self._recorded_features
            scored = [row for row in rows if row.value is not None and row.id in known]
            self.screen.learn([known[row.id] for row in scored], [row.value or 0.0 for row in scored])
        return told.float()

    def _written(self, hand: Population) -> torch.Tensor:
        """Decide what a population is told, and write it down."""
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
        self._lap()
        self.ledger.put(told_rows, [self._timed(hand.row)], self.artefacts.written())
        return told

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
        """At the end, keep what is known of populations that are not told; they will be when they are complete."""
        for hand in self.hands:
            if hand.rows:
                self.ledger.put(hand.rows.values(), [self._timed(hand.row)])
                self._keep(hand)

    def _reopen(self, ids: Sequence[int], part: str) -> None:
        """Take back failures that say nothing of the candidates, so that these are asked about again."""
        if part:
            rows = [row for row in self.ledger.queries(self.stage + PART) if row.oracle == part and row.id in ids]
            self.ledger.put([replace(row, status="asked", cached=False) for row in rows])
            return
        for id_ in ids:
            hand = self._hand_of(id_)
            if hand is not None:  # what was told as missing stays missing
                row = hand.rows[id_]
                self._count(row, -1)
                hand.rows[id_] = replace(row, status="asked", cached=False)

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

    def _row(self, question: Question, answer: Answer | None, part: PartOracle | None = None) -> Query:
        hand = self._hand_of(question.id)
        assert hand is not None
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
        self._lap_from = (time.perf_counter(), self.drawer.busy, self.seconds["strategy"])
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
        self._lap_from = (time.perf_counter(), self.drawer.busy, self.seconds["strategy"])
        drawing = self._lap_from[1] - busy
        seconds = self._lap_from[0] - started - (self._lap_from[2] - strategy)
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
