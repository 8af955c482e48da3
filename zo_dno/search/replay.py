"""Resuming a recorded search: the strategy proposes and is told again, in the order of the ledger."""

from collections import deque
from itertools import groupby
from pathlib import Path

import torch

from zo_dno.errors import InputError
from zo_dno.search.drift import DriftError
from zo_dno.search.loop import Search
from zo_dno.search.white_box import image_noise_of
from zo_dno.storage import snapshot
from zo_dno.storage.images import noise_hash
from zo_dno.storage.ledger import PopulationRow, QueryRow
from zo_dno.types import Candidates


class Replay:
    """Brings a fresh search to where its ledger ends, or first to where it paused for a re-evaluation.

    Args:
        search: Search that has not begun.
    """

    def __init__(self, search: Search) -> None:
        self._search = search
        self._populations = deque(search.ledger.populations(search.stage))
        self._rows = _by_population(search)
        self._held: list[QueryRow] = []

    def advance(self, queries: int | None = None) -> None:
        """Replay the ledger.

        Args:
            queries: Number of completed queries after which to stop; None goes to the end.
        Raises:
            DriftError: The strategy proposes other noise than it did, or the model renders the last population
                otherwise.
        """
        search = self._search
        if self._held:
            search.recall_more(self._held)
            self._held = []
        while self._populations and not self._held and (queries is None or search.counts.queries < queries):
            _settle(search, search.lag)
            population = self._populations.popleft()
            candidates = search.proposals()
            if candidates.ids[0] != population.first_id or noise_hash(candidates.z) != population.noise:
                raise DriftError(f"the strategy proposes other noise from query {population.first_id + 1} on")
            rows = self._rows.get(population.number, [])
            if queries is not None:
                rows, self._held = _first_completed(rows, queries - search.counts.queries)
            search.recall(population, candidates, rows)
        if search.pending and search.pending[-1].complete:  # others are rendered and compared later
            last = search.pending[-1]
            images = search.blocks.render(search.generator, last.candidates, image_noise_of(search.strategy))
            search.drift.compare(last.candidates.ids, images, last.rows)


def _first_completed(rows: list[QueryRow], most: int) -> tuple[list[QueryRow], list[QueryRow]]:
    """Split rows after `most` completed queries; those that pre-selection skipped were known with the first."""
    first: list[QueryRow] = []
    held: list[QueryRow] = []
    for row in sorted(rows, key=lambda row: row.id):
        fits = row.status == "screened" or sum(one.completed for one in first) < most
        (first if fits else held).append(row)
    return first, held


def adopt(search: Search, path: Path) -> None:
    """Bring a fresh search to the end of its ledger from the strategy's last snapshot instead of a replay.

    Raises:
        InputError: There is no snapshot of the last population.
    """
    populations, rows = search.ledger.populations(search.stage), _by_population(search)
    kept = snapshot.load(path)
    if not populations or kept.population < populations[-1].number:
        raise InputError(f"snapshot {path} must be of population {populations[-1].number}; got {kept.population}.")
    try:
        search.strategy.load_state_dict(kept.state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"snapshot {path} does not fit the strategy: {type(error).__name__}: {error}.") from error
    pending = {**kept.earlier, kept.population: kept.candidates}
    for population in populations:
        candidates = pending.get(population.number) or _without_noise(search, population)
        own = rows.get(population.number, [])
        search.recall(population, candidates, own, known=population.number not in pending)
        _settle(search, len(pending))
    if kept.population > populations[-1].number:  # the run was killed before the first query of that population
        first_id, size = kept.candidates.ids[0], len(kept.candidates)
        row = PopulationRow(search.stage, kept.population, first_id, size, noise_hash(kept.candidates.z))
        search.ledger.put(populations=[row])
        search.recall(row, kept.candidates, [])


def _settle(search: Search, most: int) -> None:
    """Tell recorded populations until at most `most` are pending.

    Raises:
        DriftError: One of them was never complete.
    """
    while len(search.pending) > most:
        if not search.pending[0].complete:
            raise DriftError(
                f"population {search.pending[0].row.number} is incomplete, but the strategy must now know its scores"
            )
        search.settle()


def _by_population(search: Search) -> dict[int, list[QueryRow]]:
    rows = search.ledger.queries(search.stage)
    return {number: list(group) for number, group in groupby(rows, key=lambda row: row.population)}


def _without_noise(search: Search, population: PopulationRow) -> Candidates:
    """Return candidates that cannot be proposed again, with the noise of those whose noise was kept."""
    ids = tuple(range(population.first_id, population.first_id + population.size))
    z = torch.full((population.size, search.generator.layout.d), torch.nan)
    for place, id_ in enumerate(ids):
        kept = search.artifacts.noise(search.stage, id_)
        if kept is not None:
            z[place] = kept
    return Candidates(z, ids)
