"""The recorder of a search: its writes to the ledger, and the images and noise that it keeps."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import TermOracle
from zo_dno.oracle.query_queue import Responses
from zo_dno.search.archive import Archive
from zo_dno.search.blocks import Blocks
from zo_dno.search.diverse import fact_of_set
from zo_dno.search.population import PendingPopulations, Population
from zo_dno.search.progress import Counts
from zo_dno.search.recorded import found_of, recorded_image, rendered_array
from zo_dno.search.stopwatch import Stopwatch
from zo_dno.storage import snapshot
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.ledger import TERM, WARM_UP, Ledger, QueryRow
from zo_dno.storage.rows import Named, query_row
from zo_dno.strategy import Strategy
from zo_dno.types import AnyImage, Candidates, Generator, Query, Rendered, RendersArrays, Response, array_of


@dataclass(frozen=True, slots=True)
class Failed:
    """A query without a score, and its candidate's place among those that were proposed together."""

    row: QueryRow
    candidates: Candidates
    place: int


@dataclass(slots=True)
class Recorder:
    """Records a search, in the order that makes it resumable at any moment.

    Where every query is expensive (`artifacts.durable`), each step is on the disk before the next one begins.

    Args:
        stage: Stage of the search in the ledger.
        reward: Reward that the queries are about.
        ledger: Ledger of the run.
        artifacts: Files of the run.
        archive: Archive that takes the scored candidates.
        generator: Generator that renders lost images again.
        blocks: Blocks in which it renders.
        pending: Populations that are not told yet.
        counts: Numbers of queries, images and failures.
        stopwatch: Times for the populations' rows.
        snapshot: Path of the strategy's state; None keeps none.
        constrained: Whether only plausible noise can win.
        failed: Failed queries, kept to be sent again; None keeps none.
    """

    stage: str
    reward: Named
    ledger: Ledger
    artifacts: Artifacts
    archive: Archive
    generator: Generator
    blocks: Blocks
    pending: PendingPopulations
    counts: Counts
    stopwatch: Stopwatch
    snapshot: Path | None
    constrained: bool
    failed: list[Failed] | None = None
    _told: int = 0

    def proposed(self, population: Population, strategy: Strategy) -> None:
        """Record a population that a strategy has just proposed, with the strategy's state."""
        if not self.artifacts.durable:
            return
        if self.snapshot is not None:
            earlier = {other.row.number: other.candidates for other in self.pending}
            state = strategy.state_dict()
            snapshot.save(
                self.snapshot, snapshot.Snapshot(population.row.number, population.candidates, state, earlier)
            )
        self.ledger.put(populations=[population.row])

    def on_sent(self, queries: list[Query], term: TermOracle | None = None) -> None:
        """Record the images of expensive queries, and the queries, before they leave."""
        if not self.artifacts.durable:
            return
        for query in queries if term is None else ():
            self.artifacts.keep_image(self.stage, query.id, array_of(query.image), query.sha256)
        rows = [self._row(query, None, term) for query in queries]
        self.ledger.put(rows, (), self.artifacts.written())
        for row in rows if term is None else ():
            population = self.pending.of(row.id)
            if population is not None and row.id in population.rows:  # lost or taken back, and now in flight again
                population.rows[row.id] = row

    def on_scored(self, responses: Responses, term: TermOracle | None = None) -> None:
        """Record responses, before anything is counted, kept or learned from them."""
        rows = [self._row(query, response, term) for query, response in responses]
        if term is not None:
            self.ledger.put(rows)
            return
        if self.artifacts.durable:
            self.ledger.put(rows)
        for row in rows:
            population = self.pending.of(row.id)
            assert population is not None
            population.rows[row.id] = row
            self.counts.add(row)

    def skip(self, population: Population, query: Query) -> None:
        """Note that pre-selection leaves a candidate without a query."""
        row = replace(self._row(query, None), status="screened")
        population.rows[query.id] = row
        self.counts.add(row)

    def told(self, population: Population, scores: torch.Tensor) -> None:
        """Record the scores (n,) that the strategy is about to be told."""
        rows = [population.rows[id_] for id_ in population.candidates.ids]
        told = [
            replace(row, told=None if math.isnan(score) else score, told_seq=self._told + i)
            for i, (row, score) in enumerate(zip(rows, scores.tolist(), strict=True))
        ]
        self.ledger.put(told, [self.stopwatch.stamped(population.row)], self.artifacts.written())

    def settle(self, population: Population) -> None:
        """Offer the candidates of a population to the archive, once its scores to tell are recorded."""
        self._told += len(population.candidates)
        self._keep(population)
        if self.archive.diverse is not None:  # the ledger does not have the distances by which it could be chosen again
            fact = fact_of_set(population.row.number)
            if self.ledger.get(fact) is None:
                self.ledger.set({fact: self.archive.diverse.to_dict()})

    def end(self) -> None:
        """Record the responses of populations that are not told yet, and wait for the files."""
        for population in self.pending:
            if population.rows:
                self.ledger.put(population.rows.values(), [self.stopwatch.stamped(population.row)])
                self._keep(population)
        self.ledger.put(artifacts=self.artifacts.flush())

    def reopen(self, pause: PauseError) -> None:
        """Take back failures that say nothing about the candidates, so that a resumed run sends the queries again."""
        if pause.term:
            take_back(self.ledger, self.stage + TERM, pause, pause.term)
            return
        for id_ in (query.id for query in pause.unscored):
            population = self.pending.of(id_)
            if population is not None:  # a candidate that was told as missing stays missing
                row = population.rows[id_]
                self.counts.add(row, -1)
                population.rows[id_] = replace(row, status="asked", cached=False)

    def _keep(self, population: Population) -> None:
        """Offer the scored candidates to the archive in id order, and keep the files of those that matter."""
        for place, id_ in enumerate(population.candidates.ids):
            row = population.rows.get(id_)
            if row is None or not row.completed or row.perturbed:
                continue
            if self.failed is not None and row.status == "missing":
                self.failed.append(Failed(row, population.candidates, place))
            load = partial(
                recorded_image, row, population.candidates, place, self.artifacts, self.generator, self.blocks
            )
            rendered = population.rendered.get(id_)
            if rendered is not None and rendered.sha256 != row.image:
                rendered = None
            if rendered is not None:
                load = partial(_copied, rendered.image)
            found = found_of(row, population.candidates.z[place].clone(), load, constrained=self.constrained)
            found = replace(found, load_array=self._array_of(population, place, rendered))
            matters = self.archive.offer(found)
            if matters and rendered is not None:
                _ = found.image, found.array  # copied now, so that the block that holds them can be freed
            if (matters or id_ % self.artifacts.every == 0) and not self.artifacts.has_image(row.image):
                self.artifacts.keep_image(self.stage, id_, found.image, row.image)
            if matters and self.artifacts.durable and self.stage != WARM_UP:  # whose draws cannot win
                self.artifacts.keep_noise(self.stage, id_, found.z)

    def _array_of(
        self, population: Population, place: int, rendered: Rendered | None
    ) -> Callable[[], np.ndarray] | None:
        """Return a function that loads the array of a candidate, where the generator gives arrays."""
        if not isinstance(self.generator, RendersArrays):
            return None
        if rendered is not None:
            return None if rendered.array is None else partial(_copied, rendered.array)
        return partial(rendered_array, population.candidates, place, self.generator, self.blocks)

    def _row(self, query: Query, response: Response | None, term: TermOracle | None = None) -> QueryRow:
        population = self.pending.of(query.id)
        assert population is not None
        assert population.plausibility is not None
        tested = population.plausibility.at(query.id - population.candidates.ids[0])
        number = population.row.number
        if term is not None:
            earlier = term.earlier(query)
            row = query_row(self.stage + TERM, number, term, tested, query, response, earlier)
            return replace(row, perturbed=tested.perturbed, of_term=True)
        earlier = population.rows.get(query.id)
        row = query_row(self.stage, number, self.reward, tested, query, response, earlier)
        return replace(row, perturbed=tested.perturbed)


def take_back(ledger: Ledger, stage: str, pause: PauseError, reward: str) -> None:
    """Take back failures that say nothing about the candidates, so that a resumed run sends the queries again.

    Args:
        ledger: Ledger of the run.
        stage: Stage of the queries.
        pause: Pause with the queries that failed.
        reward: Name of the reward that they were sent to.
    """
    failed = {(query.id, query.repeat) for query in pause.unscored}
    rows = [row for row in ledger.queries(stage) if row.oracle == reward and (row.id, row.repeat) in failed]
    ledger.put([replace(row, status="asked", cached=False) for row in rows])


def _copied(image: AnyImage) -> np.ndarray:
    """Return a copy of an image, which needs no block of images."""
    return np.copy(array_of(image))
