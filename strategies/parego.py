"""A search of the front of several rewards by random directions, on a model of each reward."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import ZoDnoError
from zo_dno.failures import one_line
from zo_dno.noise.space import rotate
from zo_dno.rng import stream_seed
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.own_worths import OwnWorths
from zo_dno.strategies.prior import INIT_STEP, first_draws
from zo_dno.strategies.surrogate import IMAGES, LATEST, Surrogate
from zo_dno.strategy import Measured, Problem
from zo_dno.surrogate.acquisition import OfImages
from zo_dno.surrogate.evolve import evolve
from zo_dno.surrogate.fitted import requirements_of, without_outliers
from zo_dno.surrogate.known import Known, KnownOfFront
from zo_dno.surrogate.pareto import front_rows
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.scalarised import FrontAcquisition, FrontScale, scalarised
from zo_dno.surrogate.trust import LEAST, after, after_fallback, is_predictable

log = logging.getLogger(__name__)
_VARIED = 0.3  # fresh noise of candidates that follow no predictions


@dataclass(frozen=True, slots=True, eq=False)
class _Outlook:
    """What a round knows: a process of each reward and requirement, the front's rows, its extent, and which rows count.

    Those count that can win and are above the reference point; where none are, those that can win, or all.
    """

    processes: Sequence[GaussianProcess]
    requirements: Sequence[GaussianProcess]
    front: Tensor
    scale: FrontScale
    counts: Tensor


class ParEGO(OwnWorths):
    """Search a front in random directions, on a Gaussian process of each reward (ParEGO, Knowles 2006).

    Every candidate of a round has a direction of its own, random weights of the rewards. Their augmented Tchebycheff
    scalarisation of the upper bounds that the processes predict is climbed through the pipeline, from the known
    candidate that is best in that direction, as `surrogate` climbs one reward. Without the pipeline's gradient, an
    evolution strategy searches the predictions. The directions of a round are spread evenly, so that all parts of a
    front of two rewards have their turn.

    Every threshold that a winner must meet has a process of its own. The reference point of the hypervolume is kept to
    in the same way: candidates below it in a reward are no parents while there are others.

    Steps become shorter after a round that adds nothing to the front, and longer after another. After several such
    rounds, or where predictions of no reward go with the latest ones, mixtures of the front's candidates are turned by
    fresh noise instead.

    Args:
        first: Number of prior draws before the first search of the models; 0 takes 16, or of fewer than 32 queries as
            many populations as are within a half.
        renders: Images that the search of the models renders for each query, of which a gradient counts as one; 0
            takes 8 gradients, or 32 images.
        step: Length of the first step of a climb, as a share of the shell's radius; it shrinks to a fifth.
        optimism: Standard deviations added to a prediction.
        fresh: Least share of fresh noise in the noise that a climb begins with. Each candidate of a population has a
            larger one than that before, in directions of random order, and the last begins with a prior draw.
        features: Families of features, as of `surrogate`.
        embedding: Network of images whose vectors are a further family, as of `surrogate`.
    """

    STATE: ClassVar[tuple[str, ...]] = (*Surrogate.STATE, "_reference")
    searches_fronts: ClassVar[bool] = True
    KNOWN: ClassVar[type[Known]] = KnownOfFront
    GRADIENTS: ClassVar[int] = 8  # half as many as of `surrogate`: a round of several rewards costs more

    def _take(self, problem: Problem) -> None:
        self._rewards = problem.rewards
        self._reference = torch.full((problem.rewards,), -torch.inf, dtype=torch.float64)

    @property
    def _of_front(self) -> KnownOfFront | None:
        assert self._known is None or isinstance(self._known, KnownOfFront)
        return self._known

    def _sample(self) -> Tensor:
        known = self._of_front
        if self._first_id == 0:
            return first_draws(self, self._first)
        if known is None or len(known) < 2:
            return rotate(self.start, self.randn(self.population), INIT_STEP if self.has_init else 1.0)
        outlook = _outlook(known, self._reference, self._sizes)
        if self._round and self._followed:
            better = bool((known.ids[outlook.front] >= self._round).any())
            self._trusted_share = after(self._trusted_share, better=better)
        elif self._round:
            self._trusted_share = after_fallback(self._trusted_share)
        pairs = zip(outlook.processes, known.values.T, strict=True)
        self._round = self._first_id
        self._followed = self._trusted_share >= LEAST and any(is_predictable(one.left_out(), own) for one, own in pairs)
        if not self._followed:
            return self.model.project(self._varied(known, outlook))
        acquisition = self._acquisition(known, outlook)
        if self._climbs and self.model.has_gradient:
            try:
                return self.model.project(self._climbed_to(known, outlook, acquisition))
            except (ZoDnoError, RuntimeError) as error:  # memory that runs out, numbers that overflow, no graph
                self._climbs = False
                log.warning("the search continues without gradients: %s", one_line(str(error)))
        return self.model.project(self._evolved_to(known, outlook, acquisition))

    def _weights(self) -> Tensor:
        """Draw the directions of a round, (k, m): of two rewards, one from each equal part, in random order."""
        k, m = self.population, self._rewards
        if m == 1:
            return torch.ones(k, 1, dtype=torch.float64)
        if m == 2:
            share = (torch.arange(k) + torch.rand(k, generator=self.rng, dtype=torch.float64)) / k
            share = share[torch.randperm(k, generator=self.rng)]
            return torch.stack([share, 1 - share], 1)
        drawn = -torch.rand(k, m, generator=self.rng, dtype=torch.float64).clamp_min(1e-12).log()
        return drawn / drawn.sum(1, keepdim=True)  # uniform on the simplex

    def _acquisition(self, known: KnownOfFront, outlook: _Outlook) -> FrontAcquisition:
        """Return the acquisition of a round, with a direction for every candidate."""
        weights, counted = self._weights(), outlook.scale(known.values[outlook.counts])
        units = torch.stack([scalarised(counted, one).std(correction=0) for one in weights])
        units = torch.where(units > 0, units, torch.ones_like(units))
        given = (outlook.processes, outlook.scale, weights, self.optimism, outlook.requirements, units)
        return FrontAcquisition(*given, self._reference)

    def tell_measured(self, measured: Measured) -> None:
        super().tell_measured(measured)
        if measured.reference is not None:
            self._reference = measured.reference.clone()

    def _climbed_to(self, known: KnownOfFront, outlook: _Outlook, acquisition: FrontAcquisition) -> Tensor:
        """Climb to every candidate in its direction, from near the best in it."""
        n = self.population
        parents = torch.stack([_best(known, outlook, one) for one in acquisition.weights])
        z = self.retract(rotate(parents, self.randn(n), self.fresh ** torch.linspace(1, 0, n)[:, None]))
        describe = self._describe
        return self._climb_each(z, OfImages(describe, acquisition), lambda row: OfImages(describe, acquisition.of(row)))

    def _evolved_to(self, known: KnownOfFront, outlook: _Outlook, acquisition: FrontAcquisition) -> Tensor:
        """Evolve noise by the predictions in every direction, and choose for each from all that was rendered."""
        noise, features = [], []
        for row, weights in enumerate(acquisition.weights):
            renders, own = max(2, self.renders or IMAGES), acquisition.of(row)
            seed = stream_seed(self._seed, "inner", self._first_id, row)
            begin = _best(known, outlook, weights)
            inner = NormalES(Problem(self.d, renders, seed, self.sizes, init=begin), population=16)

            def predicted(z: Tensor, worth: FrontAcquisition = own) -> tuple[Tensor, Tensor]:
                seen = self._seen(z)
                return seen, worth(seen)

            z, seen = evolve(inner, predicted, renders)
            fit = seen.isfinite().all(1) & (z[:, None] != known.z[None]).any(2).all(1)  # others are scored already
            noise.append(z[fit])
            features.append(seen[fit])
        z, seen = torch.cat(noise), torch.cat(features)
        if len(z) < self.population:
            return self._varied(known, outlook)
        free, chosen = torch.ones(len(z), dtype=torch.bool), []
        for row in range(self.population):
            chosen.append(int(torch.where(free, acquisition.of(row)(seen), -torch.inf).argmax()))
            free[chosen[-1]] = False
        return z[chosen]

    def _varied(self, known: KnownOfFront, outlook: _Outlook) -> Tensor:
        """Mix random pairs of the front by random angles, and turn them by fresh noise."""
        n = self.population
        pairs = outlook.front[torch.randint(len(outlook.front), (n, 2), generator=self.rng)]
        share = torch.rand(n, 1, generator=self.rng)
        mixed = share.sqrt() * known.z[pairs[:, 0]] + (1 - share).sqrt() * known.z[pairs[:, 1]]
        return self.retract(rotate(self.retract(mixed), self.randn(n), _VARIED))

    def _kept(self, known: Known) -> Tensor:
        """Return which images to learn from on: the latest, and the front."""
        assert isinstance(known, KnownOfFront)
        kept = torch.zeros(len(known), dtype=torch.bool)
        kept[-LATEST:] = True
        kept[_front_of(known, self._reference)[0]] = True
        return kept


def _front_of(known: KnownOfFront, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of the front, and which rows count for it, (n,).

    Without any that can win, the front is the row with the smallest violation.
    """
    feasible = known.violations == 0
    above = feasible & (known.values > reference).all(1)
    if not bool(feasible.any()):
        return known.violations.argmin()[None], torch.ones_like(feasible)
    counts = above if bool(above.any()) else feasible
    rows = torch.nonzero(counts)[:, 0]
    return rows[front_rows(known.values[rows].numpy())], counts


def _outlook(known: KnownOfFront, reference: Tensor, sizes: Sequence[int]) -> _Outlook:
    processes = [
        GaussianProcess(known.features, without_outliers(values.float()), sizes=sizes) for values in known.values.T
    ]
    front, counts = _front_of(known, reference)
    scale = FrontScale.of(known.values[front], known.values[counts])
    return _Outlook(processes, requirements_of(known, sizes), front, scale, counts)


def _best(known: KnownOfFront, outlook: _Outlook, weights: Tensor) -> Tensor:
    """Return the noise of the candidate that counts and is best in a direction, (d,)."""
    worth = scalarised(outlook.scale(known.values), weights)
    return known.z[int(torch.where(outlook.counts, worth, -torch.inf).argmax())]
