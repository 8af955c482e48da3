"""Going on with a recorded search: the strategy is asked again and told what the ledger holds, in the same order."""

from itertools import groupby
from pathlib import Path

import torch

from zo_dno.errors import InputError
from zo_dno.search.loop import DriftError, Search
from zo_dno.storage import snapshot
from zo_dno.storage.images import noise_hash
from zo_dno.storage.ledger import PopulationRow, QueryRow
from zo_dno.types import Candidates


def replay(search: Search) -> None:
    """Bring a fresh search to where its ledger ends.

    Raises:
        DriftError: the strategy proposes other noise than it did, or the model draws the last population otherwise.
    """
    rows = _by_population(search)
    candidates, last = None, -1
    for population in search.ledger.populations(search.stage):
        search.catch_up(search.lag)
        candidates, last = search.strategy.ask(), population.number
        if candidates.ids[0] != population.first_id or noise_hash(candidates.z) != population.noise:
            raise DriftError(f"the strategy proposes other noise from query {population.first_id + 1} on")
        search.recall(population, candidates, rows.get(population.number, []))
    if candidates is not None and search.pending[-1].complete:  # any other is drawn, and compared, later
        search.compare_images(candidates, rows[last])


def adopt(search: Search, path: Path) -> None:
    """Bring a fresh search to where its ledger ends from the strategy's last snapshot, whatever a replay would propose.

    Raises:
        InputError: there is no snapshot of the last population.
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
        search.catch_up(len(pending))
    if kept.population > populations[-1].number:  # it was killed before anything of that population was asked
        first_id, size = kept.candidates.ids[0], len(kept.candidates)
        row = PopulationRow(search.stage, kept.population, first_id, size, noise_hash(kept.candidates.z))
        search.ledger.put(populations=[row])
        search.recall(row, kept.candidates, [])


def _by_population(search: Search) -> dict[int, list[QueryRow]]:
    rows = search.ledger.queries(search.stage)
    return {number: list(group) for number, group in groupby(rows, key=lambda row: row.population)}


def _without_noise(search: Search, population: PopulationRow) -> Candidates:
    """Stand in for candidates that cannot be proposed again; the noise of those worth keeping was kept."""
    ids = tuple(range(population.first_id, population.first_id + population.size))
    z = torch.full((population.size, search.generator.layout.d), torch.nan)
    for place, id_ in enumerate(ids):
        kept = search.artifacts.noise(search.stage, id_)
        if kept is not None:
            z[place] = kept
    return Candidates(z, ids)
