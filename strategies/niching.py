"""Plain evolution of a set of images that differ: every member has children of its own."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import retract, rotate
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import INIT_STEP, first_draws
from zo_dno.strategy import Measured, Problem


def children_of(members: Tensor, size: int, n: int, rng: torch.Generator, least: float, mixed: float = 0.0) -> Tensor:
    """Turn members (k, d) by fresh noise, each in its turn, (n, d); not yet on the shell.

    In the turn of a member that the set lacks, the child is a prior draw.

    Args:
        members: Noise of the members.
        size: Number of members that the set is to have.
        n: Number of children.
        rng: Random generator.
        least: Least share of fresh noise; shares are spread evenly on a logarithmic scale from it to 1.
        mixed: Share of the children that are a mixture of a member and a random other one before.
    """
    k, d = members.shape
    turns = torch.randperm(max(k, size), generator=rng).repeat(-(-n // max(k, size)))[:n]
    places, lacking = turns.clamp_max(k - 1), turns >= k
    others = torch.randint(k, (n,), generator=rng)
    angle = torch.rand(n, 1, generator=rng) * (torch.rand(n, 1, generator=rng) < mixed) * (torch.pi / 2)
    parents = torch.cos(angle) * members[places] + torch.sin(angle) * members[others]
    parents = torch.where((places == others)[:, None], members[places], parents)
    share = least ** ((torch.randperm(n, generator=rng) + torch.rand(n, generator=rng)) / n)[:, None]
    share = torch.where(lacking[:, None], torch.ones_like(share), share)
    return rotate(parents, torch.randn(n, d, generator=rng), share)


class Niching(PopulationStrategy):
    """Breed from the members of a set of good images that differ, without a model of the reward.

    The run keeps the best set of which every two are apart, and tells its members. A child is a member turned by fresh
    noise, little for some children and nearly wholly for others, or a sqrt-weighted mixture of two members before. A
    child takes the place of a member, or of several, where the set becomes better by it. In the turn of a member that
    left the set and came back, the child is a prior draw: breeding from it again found no better sets.

    Args:
        step: Least share of fresh noise in a child at the beginning; its square at the end.
        mixed: Share of the children that are mixtures.
        population: Number of candidates per `ask`.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_ids", "_members")
    searches_diverse: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, population: int = 16, step: float = 0.3, mixed: float = 0.3) -> None:
        super().__init__(problem, population=population)
        if not (0 < step <= 1 and 0 <= mixed <= 1):
            raise InputError(f"step must be above 0 and at most 1, and mixed 0 to 1; got {step} and {mixed}.")
        self.step, self.mixed, self._size = step, mixed, max(1, problem.diverse)
        self._z, self._ids = torch.empty(0, self.d), torch.empty(0, dtype=torch.long)  # of the members, as last told
        self._members: list[int] | None = None

    @property
    def step_size(self) -> float:
        return self.step

    def tell_measured(self, measured: Measured) -> None:
        """Take the members of the set."""
        self._members = None if measured.members is None else list(measured.members)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self)
        if not len(self._z):
            return rotate(self.start, self.randn(self.population), INIT_STEP if self.has_init else 1.0)
        least = self.step ** (1 + self.progress)
        children = children_of(self._z, self._size, self.population, self.rng, least, self.mixed)
        return retract(children, self.sizes)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        ids = torch.arange(self._first_id, self._first_id + len(z))
        known = {int(id_): row for row, id_ in enumerate(torch.cat([self._ids, ids]))}
        every = torch.cat([self._z, z])
        wanted: Any = self._members
        if wanted is None:  # where there is no set, the best scores are one
            best = scores.nan_to_num(nan=-torch.inf).argsort(descending=True)[: self._size]
            wanted = ids[best[scores[best].isfinite()]].tolist()
        rows = [known[one] for one in wanted if one in known]
        self._z, self._ids = every[rows], torch.cat([self._ids, ids])[rows]
