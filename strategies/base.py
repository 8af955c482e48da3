"""The base class of population-wise strategies: numbering, checks, complete populations and state."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, ClassVar

import torch
from torch import Tensor

from zo_dno.errors import AskTellError, InputError
from zo_dno.noise.space import retract
from zo_dno.rng import stream
from zo_dno.strategy import Problem
from zo_dno.types import Candidates

_CURRENT = ("_asked", "_scores", "_told", "_first_id")


class PopulationStrategy(ABC):
    """A strategy that learns from whole populations. Subclasses write `_sample` and `_update`.

    Args:
        problem: Search problem.
        population: Number of candidates per `ask`.
    Raises:
        InputError: The population is below 1, or the problem has a lag and the strategy accepts none.
    """

    STATE: ClassVar[tuple[str, ...]] = ()  # names of the attributes that `state_dict` stores
    OF_POPULATION: ClassVar[tuple[str, ...]] = ()  # those of them that `_sample` sets for its own `_update`
    TAKES_LAG: ClassVar[bool] = False  # `_sample` may be called again before the `_update` of what it proposed
    reason: str | None = None  # what `auto` chose, and why

    def __init__(self, problem: Problem, *, population: int = 16) -> None:
        if population < 1:
            raise InputError(f"population must be at least 1; got {population}.")
        self.d, self.horizon, self.population = problem.d, problem.horizon, population
        self.sizes = problem.sizes or (problem.d,)
        if problem.lag and not self.TAKES_LAG:
            name = type(self).__name__
            raise InputError(f"lag must be 0 with {name}, which has to know every score first; got {problem.lag}.")
        self.lag = problem.lag
        self.rng = stream(problem.seed, "strategy")
        self.has_init = problem.init is not None
        self.start = _start(problem)
        self._asked = torch.empty(0, problem.d)
        self._scores = torch.empty(0)
        self._told = torch.empty(0, dtype=torch.bool)
        self._first_id = 0
        self._outstanding: list[dict[str, Any]] = []  # earlier populations with scores missing

    @property
    def n_prior(self) -> int:
        """Number of first candidates that are draws from the prior at any scores."""
        return 0 if self.has_init else self.population

    @property
    def step_size(self) -> float | None:
        """The search step sigma on z's scale, for display; None where the strategy has none."""
        return None

    @abstractmethod
    def _sample(self) -> Tensor:
        """Propose the next population, (n, d). Row 0 of the first one is `self.start`."""

    @abstractmethod
    def _update(self, z: Tensor, scores: Tensor) -> None:
        """Learn from a whole population z (n, d), scores (n,); missing ones are NaN, at least one is not."""

    def ask(self) -> Candidates:
        if not bool(self._told.all()):
            if len(self._outstanding) >= self.lag:
                first = (self._outstanding or [self._current()])[0]["_told"]
                which = f"the first of the last {self.lag + 1} populations" if self.lag else "the last population"
                raise AskTellError(
                    f"ask must wait until {which} is told; {int((~first).sum())} of {len(first)} scores are "
                    "outstanding. Tell NaN for a score that will never come."
                )
            self._outstanding.append(self._current())
        self._first_id += len(self._told)
        self._asked = self._asked[:0].clone()  # frees a large population before the next one is made
        self._asked = self._sample()
        self._scores = torch.full((len(self._asked),), torch.nan)
        self._told = torch.zeros(len(self._asked), dtype=torch.bool)
        ids = range(self._first_id, self._first_id + len(self._asked))
        return Candidates(self._asked.clone(), tuple(ids))

    def tell(self, candidates: Candidates, scores: Tensor) -> None:
        with self._made_current(candidates.ids):
            rows = torch.tensor([i - self._first_id for i in candidates.ids], dtype=torch.long)
            self._check_tell(candidates, scores, rows)
            self._scores[rows] = scores.to(torch.float32)
            self._told[rows] = True
            if len(rows) and bool(self._told.all()) and not bool(self._scores.isnan().all()):
                self._update(self._asked, self._scores.clone())

    def _current(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*_CURRENT, *self.OF_POPULATION)}

    @contextmanager
    def _made_current(self, ids: tuple[int, ...]) -> Iterator[None]:
        """Make the population of these ids the current one inside the block."""
        last, own = self._current(), None
        for earlier in self._outstanding:
            if earlier["_first_id"] <= min(ids, default=-1) < earlier["_first_id"] + len(earlier["_told"]):
                own = earlier
        if own is None:
            yield
            return
        vars(self).update(own)
        try:
            yield
        finally:
            if bool(self._told.all()):
                self._outstanding = [earlier for earlier in self._outstanding if earlier is not own]
            vars(self).update(last)

    def _check_tell(self, candidates: Candidates, scores: Tensor, rows: Tensor) -> None:
        if scores.shape != (len(candidates.ids),):
            raise AskTellError(f"scores must be ({len(candidates.ids)},), one a candidate; got {tuple(scores.shape)}.")
        if bool(((rows < 0) | (rows >= len(self._told))).any()) or len(set(candidates.ids)) != len(candidates.ids):
            raise AskTellError(
                f"candidates must be rows of one ask that waits for scores, each once; got ids {candidates.ids}."
            )
        if bool(scores.isinf().any()):
            raise AskTellError(f"scores must be finite or NaN; got {scores.tolist()}. Tell NaN for a missing score.")
        if bool(self._told[rows].any()):
            raise AskTellError(f"candidates must be told once; some of the ids {candidates.ids} were told before.")

    @property
    def progress(self) -> float:
        """Share of the horizon that was asked before the current population, from 0 to 1."""
        return min(1.0, self._first_id / self.horizon)

    def retract(self, z: Tensor) -> Tensor:
        """Put z (..., d) on the Gaussian shell, draw by draw."""
        return retract(z, self.sizes)

    def randn(self, n: int) -> Tensor:
        """Draw (n, d) from the prior, from the strategy's own stream."""
        return torch.randn(n, self.d, generator=self.rng)

    def state_dict(self) -> dict[str, Any]:
        own = {name: deepcopy(getattr(self, name)) for name in self.STATE}
        shared = {name: deepcopy(getattr(self, name)) for name in (*_CURRENT, "_outstanding")}
        return {"rng": self.rng.get_state(), **shared, **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rng.set_state(state["rng"])
        for name in (*_CURRENT, "_outstanding", *self.STATE):
            setattr(self, name, deepcopy(state[name]))


def _start(problem: Problem) -> Tensor:
    given = problem.start if problem.init is None else problem.init
    if given is None:
        return torch.randn(problem.d, generator=stream(problem.seed, "start"))
    return given.detach().to("cpu", torch.float32, copy=True)
