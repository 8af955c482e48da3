"""Blocks: candidates that are rendered together, since by rounding an image depends on how many others there are."""

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zo_dno.generators.renderer import render_images
from zo_dno.storage.ledger import PopulationRow
from zo_dno.types import Candidates, Generator, Rendered, balanced_slices, slices


@dataclass(frozen=True, slots=True)
class Blocks:
    """Cuts every population into blocks, the same way in each session of a run.

    Args:
        batch_size: Largest number of candidates in a block; None puts all of a population into one.
        ends: Numbers of candidates after which the budget may end. A block ends there, too, so that no image is
            rendered and not used.
        padded: Whether every block is filled up to the batch size, as it was in runs that do not say.
    """

    batch_size: int | None = None
    ends: tuple[int, ...] = ()
    padded: bool = False

    def of(self, n: int, first: int = 0) -> Sequence[slice]:
        """Return the rows of each block of n candidates, in order; `first` is the id of the first candidate."""
        if self.padded:
            return slices(n, self.batch_size or n)
        edges = [0, *sorted({end - first for end in self.ends if 0 < end - first < n}), n]
        return [
            slice(start + rows.start, start + rows.stop)
            for start, stop in itertools.pairwise(edges)
            for rows in balanced_slices(stop - start, self.batch_size or n)
        ]

    def filled(self, block: Tensor) -> Tensor:
        """Return a block (n, ...) of noise as it is rendered; the images of further rows are not used."""
        if not self.padded or self.batch_size is None:
            return block
        return torch.cat([block, block[-1:].expand(self.batch_size - len(block), *block.shape[1:])])

    def unused(self, populations: Iterable[PopulationRow], used: Collection[int]) -> int:
        """Count the images that are rendered with others and not used.

        Args:
            populations: Populations of a search.
            used: Ids of the candidates whose images are used.
        """
        count = 0
        for population in populations:
            for ids in self._ids(population):
                if kept := sum(id_ in used for id_ in ids):
                    count += self._rendered(ids) - kept
        return count

    def rendered_with(self, population: PopulationRow, id_: int) -> int:
        """Return the number of images that are rendered together with that of a candidate, its own included."""
        return next(self._rendered(ids) for ids in self._ids(population) if id_ in ids)

    def _ids(self, population: PopulationRow) -> list[range]:
        """Return the ids of the candidates of each block."""
        ids = range(population.first_id, population.first_id + population.size)
        return [ids[rows] for rows in self.of(population.size, population.first_id)]

    def _rendered(self, ids: range) -> int:
        return self.batch_size or len(ids) if self.padded else len(ids)

    def render(self, generator: Generator, candidates: Candidates, image_noise: Tensor | None = None) -> list[Rendered]:
        """Render a whole population as the run does.

        Args:
            generator: Generator to render with.
            candidates: The population.
            image_noise: Noise that is added to the images, (n, 3, H, W).
        """
        rendered: list[Rendered] = []
        for rows in self.of(len(candidates), candidates.ids[0]):
            noise = None if image_noise is None else self.filled(image_noise[rows])
            images = render_images(generator, self.filled(candidates.z[rows]), noise)
            rendered += images[: rows.stop - rows.start]
        return rendered
