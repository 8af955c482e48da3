"""A strategy in a search space: it searches coordinates, and the run sees noise."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import AskTellError, InputError
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream
from zo_dno.spaces.space import SearchSpace, SearchSpaceFactory
from zo_dno.strategy import (
    Explains,
    HasStepSize,
    Problem,
    Regularizer,
    SearchesFronts,
    Strategy,
    UsesRegularizer,
    WhiteBox,
)
from zo_dno.types import Candidates
from zo_dno.types.diversity import SearchesDiverse, UsesMeasures

Build = Callable[[Problem], Strategy]


class InSpace:
    """A strategy that searches the coordinates of a space.

    Args:
        problem: Problem of the noise.
        noise: Layout of the searched draws.
        space: Factory of the space.
        build: Factory of the strategy, given the problem of coordinates.
    Raises:
        InputError: The strategy takes gradients through the generator, or the space needs scores first and the problem
            has a lag.
    """

    def __init__(self, problem: Problem, noise: NoiseLayout, space: SearchSpaceFactory, build: Build) -> None:
        self._problem, self._build = problem, build
        start = problem.init
        if start is None:
            start = torch.randn(problem.d, generator=stream(problem.seed, "start"))
        self._start = start.detach().to("cpu", torch.float32)
        self.space: SearchSpace = space(noise, self._start, problem.seed)
        if self.space.warm_up and problem.lag:
            raise InputError(
                f"lag must be 0 in this space, which is made from the scores of {self.space.warm_up} prior draws; got "
                f"{problem.lag}."
            )
        self.lag = problem.lag
        self._warm: list[Tensor] = []  # prior draws and their scores, before there are coordinates
        self._warm_scores: list[Tensor] = []
        self._given = torch.empty(0, problem.d)
        self._told: dict[int, float] = {}
        self._pending: dict[int, Tensor] = {}  # what the inner strategy asked, or the prior draw, until it is told
        self._lost = 0  # ids below were asked by an earlier version, whose state has not all coordinates
        self._regularizer: Regularizer | None = None
        self._first_id = 0
        self.inner = self._made()
        if isinstance(self.inner, WhiteBox):
            name = type(self.inner).__name__
            raise InputError(
                f"space must be 'all', and near left out, with {name}, which searches all of the noise through the "
                "model."
            )
        if isinstance(self.inner, SearchesFronts):
            raise InputError(f"space must be 'all' with {type(self.inner).__name__}, which is told several rewards.")
        if isinstance(self.inner, SearchesDiverse):
            raise InputError(f"space must be 'all' with {type(self.inner).__name__}, which is told the diverse set.")
        if isinstance(self.inner, UsesMeasures):
            raise InputError(f"space must be 'all' with {type(self.inner).__name__}, which is told measures.")

    @property
    def n_prior(self) -> int:
        """Number of prior draws: those of the warm-up, since later candidates share what is outside of the space."""
        return self.space.warm_up

    @property
    def step_size(self) -> float | None:
        """Of the inner strategy."""
        return self.inner.step_size if isinstance(self.inner, HasStepSize) else None

    @property
    def reason(self) -> str | None:
        """Why the inner strategy chose what it chose."""
        return self.inner.reason if isinstance(self.inner, Explains) else None

    def ask(self) -> Candidates:
        """Propose the next population of the inner strategy, as noise."""
        if self._warming():
            return self._ask_prior()
        inner = self.inner.ask()
        ids = tuple(self._first_id + id_ for id_ in inner.ids)
        self._pending |= dict(zip(ids, inner.z.clone(), strict=True))
        return Candidates(self.space.to_noise(inner.z), ids)

    def tell(self, candidates: Candidates, scores: Tensor) -> None:
        """Tell scores to the inner strategy, or keep them during the warm-up."""
        self._check_tell(candidates.ids, scores)
        if self._warming():
            self._learn_prior(candidates.ids, scores)
            return
        lost = torch.full((self.space.k,), torch.nan)
        asked = [self._pending.get(id_, lost) for id_ in candidates.ids]
        ids = tuple(id_ - self._first_id for id_ in candidates.ids)
        self.inner.tell(Candidates(_stacked(asked, self.space.k), ids), scores)
        for id_ in candidates.ids:
            self._pending.pop(id_, None)

    def _check_tell(self, ids: tuple[int, ...], scores: Tensor) -> None:
        if scores.shape != (len(ids),):
            raise AskTellError(f"scores must be ({len(ids)},), one a candidate; got {tuple(scores.shape)}.")
        known = all(id_ in self._pending or 0 <= id_ < self._lost for id_ in ids)
        if not known or len(set(ids)) != len(ids):
            raise AskTellError(f"candidates must be rows of one ask that wait for scores, each once; got ids {ids}.")
        if bool(scores.isinf().any()):
            raise AskTellError(f"scores must be finite or NaN; got {scores.tolist()}. Tell NaN for a missing score.")

    def _ask_prior(self) -> Candidates:
        """Propose the next prior draws of the warm-up."""
        if self._pending:
            raise AskTellError(
                f"ask must wait until the last population is told; {len(self._pending)} of {len(self._given)} scores "
                "are outstanding. Tell NaN for a score that will never come."
            )
        n = min(16, self.space.warm_up - sum(map(len, self._warm)))
        rng = stream(self._problem.seed, "warm-up", len(self._warm))
        self._given = torch.randn(n, self._problem.d, generator=rng)
        if not self._warm:
            self._given[0] = self._start
        ids = tuple(range(self._first_id, self._first_id + n))
        self._pending, self._told = dict(zip(ids, self._given, strict=True)), {}
        return Candidates(self._given.clone(), ids)

    def _learn_prior(self, ids: tuple[int, ...], scores: Tensor) -> None:
        """Keep scores of prior draws, and settle the space once all are there."""
        self._told |= dict(zip(ids, scores.tolist(), strict=True))
        for id_ in ids:
            del self._pending[id_]
        if self._pending or not ids:
            return
        self._warm.append(self._given)
        self._warm_scores.append(torch.tensor([self._told[id_] for id_ in sorted(self._told)]))
        self._first_id += len(self._given)
        if not self._warming():
            self.space.settle(torch.cat(self._warm), torch.cat(self._warm_scores))

    def _warming(self) -> bool:
        return sum(map(len, self._warm)) < self.space.warm_up

    def _made(self) -> Strategy:
        space = self.space
        init = space.origin if self._problem.init is not None else None
        horizon = max(1, self._problem.horizon - space.warm_up)
        start = None if init is not None else space.origin
        own: dict[str, Any] = {"d": space.k, "horizon": horizon, "sizes": space.sizes, "init": init, "start": start}
        coordinates = replace(self._problem, **own, rewards=1, diverse=0, measures=0)  # it is told scores alone
        return self._build(coordinates)

    def state_dict(self) -> dict[str, Any]:
        """Return the state needed to resume."""
        return {
            "inner": self.inner.state_dict(),
            "space": self.space.state_dict(),
            "warm": torch.cat(self._warm) if self._warm else torch.empty(0, self._problem.d),
            "warm_scores": torch.cat(self._warm_scores) if self._warm_scores else torch.empty(0),
            "warm_sizes": [len(block) for block in self._warm],
            "pending": _stacked([*self._pending.values()], self._problem.d if self._warming() else self.space.k),
            "pending_ids": [*self._pending],
            "lost": self._lost,
            "given": self._given.clone(),
            "told": {str(id_): score for id_, score in self._told.items()},
            "first_id": self._first_id,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the state of another instance."""
        self.inner.load_state_dict(state["inner"])
        self.space.load_state_dict(state["space"])
        sizes = state["warm_sizes"]
        self._warm = list(state["warm"].split(sizes)) if sizes else []
        self._warm_scores = list(state["warm_scores"].split(sizes)) if sizes else []
        self._given, self._first_id = state["given"].clone(), state["first_id"]
        self._told = {int(id_): score for id_, score in state["told"].items()}
        if "pending" in state:
            self._pending = dict(zip(state["pending_ids"], state["pending"].clone(), strict=True))
            self._lost = state["lost"]
        else:
            self._load_asked(state)

    def _load_asked(self, state: dict[str, Any]) -> None:
        """Load the last population of a state that an earlier version stored, which alone has its coordinates there."""
        before = 0 if self._warming() else self._first_id
        ids = [before + id_ for id_ in state["asked_ids"]]
        untold = [row for row, id_ in enumerate(ids) if id_ not in self._told]
        self._pending = {ids[row]: state["asked"][row].clone() for row in untold}
        self._lost = min(ids, default=0)


def _stacked(rows: Sequence[Tensor], size: int) -> Tensor:
    """Stack rows (size,), where there may be none."""
    return torch.stack([*rows]) if rows else torch.empty(0, size)


class RegularizedInSpace(InSpace):
    """A strategy in a space that takes the regulariser's gradient itself, along the coordinates."""

    def use_regularizer(self, regularizer: Regularizer) -> None:
        """Give the inner strategy the regulariser as a function of coordinates."""
        assert isinstance(self.inner, UsesRegularizer)
        self.inner.use_regularizer(lambda y: regularizer(self.space.to_noise(y)))


def in_space(problem: Problem, noise: NoiseLayout, space: SearchSpaceFactory, build: Build) -> Strategy:
    """Make a strategy that searches a space."""
    made = InSpace(problem, noise, space, build)
    return RegularizedInSpace(problem, noise, space, build) if isinstance(made.inner, UsesRegularizer) else made
