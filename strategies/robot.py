"""A search of a set of good images that differ, by one climb for each member of the set."""

import logging
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.noise.space import rotate
from zo_dno.rng import stream, stream_seed
from zo_dno.strategies.niching import children_of
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.own_worths import OwnWorths
from zo_dno.strategies.surrogate import IMAGES, Surrogate
from zo_dno.strategy import Measured, Model, Problem
from zo_dno.surrogate.acquisition import Acquisition, OfImages
from zo_dno.surrogate.apart import ApartFrom
from zo_dno.surrogate.distances import has_gradient
from zo_dno.surrogate.evolve import evolve
from zo_dno.surrogate.known import Known
from zo_dno.types.diversity import Distance

log = logging.getLogger(__name__)
_VARIED = 0.1  # least fresh noise of candidates that follow no predictions


class Robot(OwnWorths):
    """Search a set of good images that differ, each by a climb of its own on one model of the reward.

    After ROBOT (Maus et al. 2022), which searches several solutions at once, each in a region of its own and at a
    least distance from the others. The run keeps the best set so far of which every two images are apart, and tells
    its members. Every candidate of a round is to take the place of one member, or to be a further one while there are
    too few: it begins at that member, turned by fresh noise, and climbs the model's upper bound through the pipeline,
    as `surrogate` does, less a penalty for being too near to another member. So it may change as far as it leaves the
    others alone. Without the gradient of the pipeline or of the distance, an evolution strategy searches each place.

    Steps become shorter after a round that adds no member, and longer after another. After several such rounds, or
    where predictions do not go with the latest rewards, members are turned by fresh noise instead, as `niching` does.

    Args:
        first: Number of prior draws before the first search of the model; 0 takes 16, or of fewer than 32 queries as
            many populations as are within a half.
        renders: Images that the search of the model renders for each query, of which a gradient counts as one; 0 takes
            15 gradients, or 32 images.
        step: Length of the first step of a climb, as a share of the shell's radius; it shrinks to a fifth.
        optimism: Standard deviations added to a prediction.
        fresh: Least share of fresh noise in the noise that a climb begins with. Each candidate of a population has a
            larger one than that before, at places of random order, and the last begins with a prior draw.
        features: Families of features, as of `surrogate`.
        embedding: Network of images whose vectors are a further family, as of `surrogate`.
    """

    STATE: ClassVar[tuple[str, ...]] = (*Surrogate.STATE, "_members")
    searches_diverse: ClassVar[bool] = True

    def _take(self, problem: Problem) -> None:
        self._wanted = max(1, problem.diverse)
        self._distance: Distance | None = None
        self._least = 1.0
        self._members: list[int] = []

    def use_distance(self, distance: Distance, least: float) -> None:
        """Take the distance of images and the least one of two members."""
        self._distance, self._least = distance, least

    def use_model(self, model: Model) -> None:
        super().use_model(model)
        if self._distance is None or not model.has_gradient:
            return
        images = torch.rand(2, *model.image_shape, generator=stream(0, "features"))
        if not has_gradient(self._distance, images):
            self._climbs = False
            log.warning("the search goes by images alone: the distance %r has no gradient", self._distance.name)

    def tell_measured(self, measured: Measured) -> None:
        super().tell_measured(measured)
        if measured.members is not None:
            self._members = list(measured.members)

    def _rows(self, known: Known) -> Tensor:
        """Return the rows of the members, best first."""
        rows = {id_: row for row, id_ in enumerate(known.ids.tolist())}
        return torch.tensor([rows[id_] for id_ in self._members if id_ in rows], dtype=torch.long)

    def _is_better(self, known: Known, acquisition: Acquisition) -> bool:
        """Return whether the last round has a member."""
        return any(id_ >= self._round for id_ in self._members) or (
            not self._members and super()._is_better(known, acquisition)
        )

    def _unpredicted(self, known: Known, acquisition: Acquisition) -> Tensor:
        members = self._rows(known)
        if not len(members):
            return super()._unpredicted(known, acquisition)
        if not self._said:
            self._said = True
            log.info("predictions do not lead to better images now: members are turned by fresh noise, at times")
        return self.retract(children_of(known.z[members], self._wanted, self.population, self.rng, _VARIED))

    def _places(self, known: Known) -> tuple[Tensor, Tensor, Tensor]:
        """Decide where the candidates of a round begin, and which members they have to differ from.

        Returns:
            Noise (n, d), rows of the members (k,), and for each candidate whether it has to differ from each of them,
            (n, k).
        """
        n, members = self.population, self._rows(known)
        turn = self._first_id // n * n
        places = (turn + torch.arange(n)) % self._wanted  # beyond the members there are, further ones are sought
        fresh = self.fresh ** torch.linspace(1, 0, n)
        fresh = fresh[torch.randperm(n, generator=self.rng)]
        own = places < len(members)
        noise = self.randn(n)
        parents = torch.where(own[:, None], known.z[members[places.clamp_max(len(members) - 1)]], noise)
        begin = torch.where(own[:, None], rotate(parents, noise, fresh[:, None]), noise)
        return self.retract(begin), members, places[:, None] != torch.arange(len(members))

    def _worth(self, known: Known, acquisition: Acquisition, members: Tensor, others: Tensor) -> ApartFrom:
        assert self._distance is not None
        described = self._distance.describe(self._images(known.z[members]))
        worth = OfImages(self._describe, acquisition)
        return ApartFrom(worth, self._distance, described, others, self._least, float(acquisition.process.unit))

    def _climbed(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Climb to every candidate from near its member."""
        if self._distance is None or not len(self._rows(known)):
            return super()._climbed(known, acquisition)
        z, members, others = self._places(known)
        worth = self._worth(known, acquisition, members, others)
        return self._climb_each(z, worth, worth.of)

    def _evolved(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Evolve noise by the predictions from near every member, and take the most promising of each search."""
        if self._distance is None or not len(self._rows(known)):
            return super()._evolved(known, acquisition)
        begin, members, others = self._places(known)
        worth, chosen = self._worth(known, acquisition, members, others), []
        for row in range(len(begin)):
            seed = stream_seed(self._seed, "inner", self._first_id, row)
            renders = max(2, self.renders or IMAGES)
            inner = NormalES(Problem(self.d, renders, seed, self.sizes, init=begin[row]), population=16)
            own = worth.of(row)

            def predicted(z: Tensor, own: ApartFrom = own) -> tuple[Tensor, Tensor]:
                found = own(self._images(z))
                return found[:, None], found

            z, found = evolve(inner, predicted, renders)
            fresh = (z[:, None] != known.z[None]).any(2).all(1)  # others are scored already
            found = torch.where(fresh & found[:, 0].isfinite(), found[:, 0], -torch.inf)
            chosen.append(z[int(found.argmax())])
        return torch.stack(chosen)

    def _kept(self, known: Known) -> Tensor:
        """Return which images to learn from on: the latest, the best, and the members."""
        kept = super()._kept(known)
        kept[self._rows(known)] = True
        return kept
