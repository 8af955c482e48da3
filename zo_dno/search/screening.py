"""Screening: of several times more images than are asked about, the reward of the others is guessed.

A strategy goes on as if every candidate had been asked about: it is told the scores of those that were, and guesses of
the others. Guesses never win, and are no scores anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zo_dno.errors import InputError
from zo_dno.rng import numpy_stream
from zo_dno.search.surrogate import GaussianProcess

FIRST = 24  # scores before anything is guessed
_LATEST = 512  # scores that are learned from
_JUDGED = 32  # latest scores by which guesses are judged, each made without it
TRUSTED = 0.5  # rank correlation of guesses and scores
_OPTIMISM = 0.5  # standard deviations added to a guess when it is decided whom to ask about
_AT_RANDOM = 4  # one of so many questions is about a candidate taken at random, lest what looks bad is never seen


@dataclass(frozen=True, slots=True)
class Selection:
    """What screening says of a population.

    Attributes:
        places: of the candidates to ask about, in order.
        predictions: (n,) rewards of all of them; NaN where nothing was guessed.
    """

    places: tuple[int, ...]
    predictions: np.ndarray


class Preselection:
    """Decides which candidates of a population are asked about.

    Args:
        factor: images for one query.
        seed: of the run.
    Raises:
        InputError: the factor is neither 0 nor at least 2.
    """

    def __init__(self, factor: int, seed: int) -> None:
        if factor < 2:
            raise InputError(f"screen must be 0, or at least 2 images for a query; got {factor}.")
        self.factor, self._seed = factor, seed
        self._features: list[np.ndarray] = []
        self._rewards: list[float] = []
        self.trust: float | None = None

    def learn(self, features: Sequence[np.ndarray], rewards: Sequence[float]) -> None:
        """Take scored images: features (m,) each, and their rewards."""
        self._features = [*self._features, *features][-_LATEST:]
        self._rewards = [*self._rewards, *rewards][-_LATEST:]

    def choose(self, number: int, features: np.ndarray, plausible: np.ndarray) -> Selection:
        """Choose from a population by the features (n, m) of its images.

        Args:
            number: of the population.
            features: of its images.
            plausible: (n,), those that may win as far as their noise goes.
        """
        n = len(features)
        everybody = Selection(tuple(range(n)), np.full(n, np.nan))
        if len(self._rewards) < FIRST or n < 2:
            return everybody
        process = GaussianProcess(np.stack(self._features), np.array(self._rewards))
        self.trust = _rank_correlation(process.left_out()[-_JUDGED:], np.array(self._rewards[-_JUDGED:]))
        if self.trust < TRUSTED:
            return everybody
        predictions, deviations = process(features)
        count = max(1, round(n / self.factor))
        order = np.argsort(-np.where(plausible, predictions + _OPTIMISM * deviations, -np.inf), kind="stable").tolist()
        rng = numpy_stream(self._seed, "screening", number)
        if count > 1 and rng.random() < count / _AT_RANDOM:
            places = [*order[: count - 1], order[int(rng.integers(count - 1, n))]]
        else:
            places = order[:count]
        return Selection(tuple(sorted(places)), predictions)


def _rank_correlation(predictions: np.ndarray, rewards: np.ndarray) -> float:
    """Return Spearman's; 0 where either does not vary."""
    from scipy.stats import rankdata

    one, other = rankdata(predictions), rankdata(rewards)
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
