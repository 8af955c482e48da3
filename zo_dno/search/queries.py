"""The queries about a population: its noise is tested and rendered, and its images become queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zo_dno.noise.plausibility import Plausibility
from zo_dno.oracle.render_queue import RenderQueue
from zo_dno.search.blocks import Blocks
from zo_dno.search.drift import DriftCheck
from zo_dno.search.objective import Objective
from zo_dno.search.population import Population
from zo_dno.search.preselection import Preselection
from zo_dno.search.recorder import Recorder
from zo_dno.search.white_box import image_noise_of
from zo_dno.strategy import Strategy
from zo_dno.types import Query, Rendered, array_of


@dataclass(slots=True)
class QueryMaker:
    """Makes queries from populations, block by block of rendered images.

    Args:
        blocks: Blocks in which populations are rendered.
        strategy: Strategy that proposes the populations; it may add noise to the images.
        objective: Objective whose tests decide what is plausible.
        recorder: Recorder of the candidates that pre-selection skips.
        drift: Check of the images that were rendered in an earlier session.
        preselection: Selection of the candidates to query; None queries every candidate.
        prompt: Prompt of the images.
    """

    blocks: Blocks
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
        if not waiting and (self.preselection is None or population.complete):
            return  # else all was recorded but the predictions of those without a query, which are made again
        population.image_noise, population.queried = image_noise_of(self.strategy), tuple(waiting)
        population.plausibility = self.plausibility(population)
        if self.preselection is not None:
            population.rendered = {}
        for rows in self.blocks.of(len(candidates), candidates.ids[0]):
            ids = candidates.ids[rows]
            if not self._is_needed(ids, population):
                continue
            make = partial(self._queries, population, ids)
            if self.preselection is not None:
                make = partial(self._preselected, population, self.preselection, most, ids)
            noise = population.image_noise
            block = (self.blocks.filled(candidates.z[rows]), None if noise is None else self.blocks.filled(noise[rows]))
            rendering.add([block], make)

    def _is_needed(self, ids: Sequence[int], population: Population) -> bool:
        """Return whether a block has candidates to query, or to compare with those of an earlier session."""
        if self.preselection is not None:
            return True
        return any(
            id_ in population.queried or (id_ in population.rows and id_ not in population.rendered) for id_ in ids
        )

    def _queries(self, population: Population, ids: Sequence[int], rendered: list[Rendered]) -> list[Query]:
        """Return the queries about the images of a block, as far as the budget covers them."""
        self._take(population, ids, rendered)
        return [self._query(id_, population.rendered[id_]) for id_ in ids if id_ in population.queried]

    def _preselected(
        self,
        population: Population,
        preselection: Preselection,
        most: int,
        ids: Sequence[int],
        rendered: list[Rendered],
    ) -> list[Query]:
        """Return the queries of a population once its last block is rendered."""
        self._take(population, ids, rendered)
        candidates = population.candidates
        if len(population.rendered) < len(candidates):
            return []
        queries = [self._query(id_, population.rendered[id_]) for id_ in candidates.ids]
        chosen = preselection.select(population, [array_of(query.image) for query in queries])
        chosen |= {query.id for query in queries if query.no_image}
        for query in queries:
            if query.id not in chosen and query.id not in population.rows:
                self.recorder.skip(population, query)
        return [query for query in queries if query.id in chosen and not population.is_settled(query.id)][:most]

    def _take(self, population: Population, ids: Sequence[int], rendered: list[Rendered]) -> None:
        """Add the images of a block to its population.

        Raises:
            DriftError: An image differs from the recorded one.
        """
        images = rendered[: len(ids)]  # a block that is filled up has more
        population.rendered |= zip(ids, images, strict=True)
        self.drift.compare(ids, images, population.rows)

    def _query(self, id_: int, image: Rendered) -> Query:
        return Query(
            *(id_, image.image, image.sha256, self.prompt),
            first_call=image.first_call,
            no_image=image.no_image,
            array=image.array,
        )
