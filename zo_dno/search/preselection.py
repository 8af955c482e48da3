"""Pre-selection by a surrogate: of several images per query, only the most promising are queried.

The strategy learns as if every candidate had been queried: it is told the scores of those that were, and predictions
for the others. Predictions never win and are no scores anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zo_dno.errors import InputError
from zo_dno.rng import numpy_stream
from zo_dno.search.population import Population
from zo_dno.storage.ledger import Ledger, QueryRow
from zo_dno.surrogate.pixels import pixel_features_of
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.trust import rank_correlation

FIRST = 24  # scores before the first prediction
_LATEST = 512  # scores that the surrogate learns from
_TESTED = 32  # latest scores that decide about the trust, each predicted without itself
TRUSTED = 0.5  # rank correlation of predictions and scores
_OPTIMISM = 0.5  # standard deviations added to a prediction for the selection
_AT_RANDOM = 4  # one of this many queries goes to a random candidate, so that unpromising images are seen too


@dataclass(frozen=True, slots=True)
class Selection:
    """The selection from one population.

    Attributes:
        places: Indices of the candidates to query, in order.
        predictions: Predicted rewards of all candidates, (n,); NaN where nothing was predicted.
    """

    places: tuple[int, ...]
    predictions: np.ndarray


class Preselection:
    """Decides which candidates of a population are queried.

    Args:
        factor: Images per query.
        seed: Seed of the run.
    Attributes:
        trust: Rank correlation of the latest predictions and scores; None before the first predictions.
    Raises:
        InputError: The factor is below 2.
    """

    def __init__(self, factor: int, seed: int) -> None:
        if factor < 2:
            raise InputError(f"screen must be 0, or at least 2 images for a query; got {factor}.")
        self.factor, self._seed = factor, seed
        self._features: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._recorded: dict[int, np.ndarray] | None = None
        self.trust: float | None = None

    def select(self, population: Population, images: Sequence[np.ndarray]) -> set[int]:
        """Return the ids of the candidates to query, and keep features and predictions with the population.

        Args:
            population: Population with its plausibility.
            images: Images of all candidates, (H, W, 3) uint8 each.
        """
        assert population.plausibility is not None
        self.see(population, images)
        assert population.features is not None
        selection = self.choose(population.row.number, population.features, population.plausibility.plausible.numpy())
        population.predictions = selection.predictions
        return {population.candidates.ids[place] for place in selection.places}

    def see(self, population: Population, images: Sequence[np.ndarray]) -> None:
        """Keep the features of all images (H, W, 3) uint8 of a population with it."""
        population.features = np.stack([pixel_features_of(image) for image in images])

    def learn_from(self, population: Population, ledger: Ledger) -> None:
        """Learn the scores of a complete population whose images were seen, and record their features."""
        assert population.features is not None
        vectors = dict(zip(population.candidates.ids, population.features, strict=True))
        scored = {id_: row.value for id_, row in sorted(population.rows.items()) if row.value is not None}
        ledger.put_features(population.row.stage, {id_: vectors[id_] for id_ in scored})
        self.learn([vectors[id_] for id_ in scored], list(scored.values()))

    def recall(self, rows: Sequence[QueryRow], ledger: Ledger) -> None:
        """Learn from the rows of a population of an earlier session."""
        if self._recorded is None:
            self._recorded = ledger.features(rows[0].stage)
        known = self._recorded
        scored = [row for row in rows if row.value is not None and row.id in known]
        self.learn([known[row.id] for row in scored], [row.value or 0.0 for row in scored])

    def learn(self, features: Sequence[np.ndarray], rewards: Sequence[float]) -> None:
        """Take scored images: their features, (m,) each, and their rewards."""
        self._features = [*self._features, *features][-_LATEST:]
        self._rewards = [*self._rewards, *rewards][-_LATEST:]

    def choose(self, number: int, features: np.ndarray, plausible: np.ndarray) -> Selection:
        """Choose from a population by the features of its images.

        Args:
            number: Number of the population.
            features: Features of its images, (n, m).
            plausible: Whether each candidate has plausible noise, (n,).
        """
        n = len(features)
        everyone = Selection(tuple(range(n)), np.full(n, np.nan))
        if len(self._rewards) < FIRST or n < 2:
            return everyone
        rewards = torch.tensor(self._rewards, dtype=torch.float64)
        process = GaussianProcess(torch.from_numpy(np.stack(self._features)), rewards)
        self.trust = rank_correlation(process.left_out()[-_TESTED:], rewards[-_TESTED:])
        if self.trust < TRUSTED:
            return everyone
        predictions, deviations = (found.numpy() for found in process(torch.from_numpy(features)))
        count = max(1, round(n / self.factor))
        order = np.argsort(-np.where(plausible, predictions + _OPTIMISM * deviations, -np.inf), kind="stable").tolist()
        rng = numpy_stream(self._seed, "screening", number)
        if count > 1 and rng.random() < count / _AT_RANDOM:
            places = [*order[: count - 1], order[int(rng.integers(count - 1, n))]]
        else:
            places = order[:count]
        return Selection(tuple(sorted(places)), predictions)
