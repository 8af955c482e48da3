"""The queries about a population: its noise is tested and rendered, and its images become queries."""

from dataclasses import dataclass
from functools import partial

from zo_dno.noise.plausibility import Plausibility
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.search.drift import DriftCheck
from zo_dno.search.objective import Objective
from zo_dno.search.population import Population
from zo_dno.search.preselection import Preselection
from zo_dno.search.recorder import Recorder
from zo_dno.search.white_box import image_noise_of
from zo_dno.strategy import Strategy
from zo_dno.types import Generator, Query, Rendered, array_of, batch_size_of, slices


@dataclass(slots=True)
class QueryMaker:
    """Makes queries from populations, block by block of rendered images.

    Args:
        generator: Generator of the images.
        strategy: Strategy that proposes the populations; it may add noise to the images.
        objective: Objective whose tests decide what is plausible.
        recorder: Recorder of the candidates that pre-selection skips.
        drift: Check of the images that were rendered in an earlier session.
        preselection: Selection of the candidates to query; None queries every candidate.
        prompt: Prompt of the images.
    """

    generator: Generator
    strategy: Strategy
    objective: Objective
    recorder: Recorder
    drift: DriftCheck
    preselection: Preselection | None
    prompt: str

    def plausibility(self, population: Population) -> Plausibility:
        """Test the candidates' noise; a candidate whose image has other noise added cannot win."""
        found = self.objective.plausibility(population.candidates.z)
        if population.image_noise is None:
            return found
        return found.with_perturbed(population.image_noise.flatten(1).any(1))

    def add(self, population: Population, rendering: RenderQueue, most: int) -> None:
        """Add the blocks of a population to a render queue.

        Args:
            population: Population with or without responses.
            rendering: Queue that takes the blocks.
            most: Largest number of queries.
        """
        candidates = population.candidates
        waiting = [id_ for id_ in candidates.ids if not population.is_settled(id_)]
        if self.preselection is None:
            waiting = waiting[:most]
        if not waiting:
            return
        population.image_noise, population.queried = image_noise_of(self.strategy), tuple(waiting)
        population.plausibility, population.rendered = self.plausibility(population), []
        if self.preselection is None:
            n, noise = max(*waiting, *population.rows, 0) + 1 - candidates.ids[0], population.image_noise
            make = partial(self._queries, population, set(waiting))
        else:
            n, noise = len(candidates), None
            make = partial(self._preselected, population, self.preselection, most)
        size = batch_size_of(self.generator) or n
        blocks = [(candidates.z[rows], None if noise is None else noise[rows]) for rows in slices(n, size)]
        rendering.add(blocks, make)

    def _queries(self, population: Population, ids: set[int], rendered: list[Rendered]) -> list[Query]:
        """Return the queries about those images of the next block whose ids are given."""
        new = self._take(population, rendered)
        return [self._query(id_, image) for id_, image in zip(new, rendered, strict=False) if id_ in ids]

    def _preselected(
        self, population: Population, preselection: Preselection, most: int, rendered: list[Rendered]
    ) -> list[Query]:
        """Return the queries of a population once its last block is rendered."""
        self._take(population, rendered)
        candidates = population.candidates
        if len(population.rendered) < len(candidates):
            return []
        queries = [self._query(id_, image) for id_, image in zip(candidates.ids, population.rendered, strict=True)]
        chosen = preselection.select(population, [array_of(query.image) for query in queries])
        chosen |= {query.id for query in queries if query.no_image}
        for query in queries:
            if query.id not in chosen and query.id not in population.rows:
                self.recorder.skip(population, query)
        return [query for query in queries if query.id in chosen and not population.is_settled(query.id)][:most]

    def _take(self, population: Population, rendered: list[Rendered]) -> tuple[int, ...]:
        """Add the next block of images to a population, and return the ids from there on.

        Raises:
            DriftError: an image differs from the recorded one.
        """
        ids = population.candidates.ids[len(population.rendered) :]
        population.rendered += rendered
        self.drift.compare(ids, rendered, population.rows)
        return ids

    def _query(self, id_: int, image: Rendered) -> Query:
        return Query(id_, image.image, image.sha256, self.prompt, first_call=image.first_call, no_image=image.no_image)
