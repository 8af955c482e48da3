"""Any optimizer of nevergrad's registry that takes a population, with candidates on the Gaussian shell."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError, RunError, unknown_name
from zo_dno.strategies.nevergrad_private import optimizers_of, tame_cma
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.replayed import ReplayedStrategy
from zo_dno.strategy import Problem


class Nevergrad(ReplayedStrategy):
    """Search with an optimizer of nevergrad (Rapin and Teytaud 2018), driven by ask and tell.

    Its array starts at mean 0 with mutation width 1 (around `init` and narrower when that is given), so first
    candidates are prior draws; every candidate is put on the shell, and nevergrad is told its own point. (An array
    around a prior draw, with nevergrad's default width of 1, starts 41 % outside the shell.)

    Args:
        optimizer: Name in nevergrad's registry. Optimizers that propose one point at a time are refused: most of them
            run in a thread of their own, which cannot be replayed.
        sigma: Mutation width; 0 is the prior's, 1, or a narrower one around `init`.
        population: Number of candidates per `ask`; raised to the optimizer's own population where that is larger
            (DiagonalCMA).
    """

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        optimizer: str = "DiagonalCMA",
        sigma: float = 0.0,
    ) -> None:
        super().__init__(problem, population=population)
        if not sigma >= 0:
            raise InputError(f"sigma must be at least 0; got {sigma}. 0 takes the prior's width.")
        self.optimizer, self._workers = optimizer, population
        self._mean, width = first_gaussian(self.start, self.has_init)
        self._sigma = sigma or width
        self._rebuild()

    @property
    def n_prior(self) -> int:
        return super().n_prior if self._sigma == 1 else 0

    def _build(self, numpy: OwnGlobalNumpy) -> None:
        import nevergrad

        array = nevergrad.p.Array(init=self._mean.double().numpy()).set_mutation(sigma=self._sigma)
        array.random_state = numpy.random_state
        budget = -(-self.horizon // self._workers) * self._workers  # whole populations: some stop exactly there
        self._inner = _build_optimizer(self.optimizer, array, budget, self._workers)
        self.population = max(self._workers, *(tame_cma(one) for one in optimizers_of(self._inner)))
        self._inner.pruning = nevergrad.optimization.utils.Pruning(self.population, 4 * self.population)
        self._last_median = float("nan")

    def _propose(self) -> Tensor:
        with self._errors_named():
            self._points = [self._inner.ask() for _ in range(self.population)]
        z = torch.stack([torch.from_numpy(point.value).float() for point in self._points])
        middle = z.norm(dim=1, keepdim=True) == 0  # it has no direction
        return torch.where(middle, self.start, z)

    def _learn(self, scores: Tensor) -> None:
        median = float(scores.nanmedian())
        self._last_median = self._last_median if median != median else median
        if self._last_median != self._last_median:  # there was no score yet
            return
        scores = scores.nan_to_num(nan=self._last_median)  # nevergrad would take NaN as a loss of 5e20
        with self._errors_named():
            for row in torch.randperm(len(scores), generator=self.rng).tolist():  # sorting prefers the first of equals
                self._inner.tell(self._points[row], -float(scores[row]))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # designs end with the budget; others lack a package or have bugs
            done = f"after {self._first_id} of {self.horizon} queries"
            raise RunError(f"nevergrad's {self.optimizer} failed {done}: {type(error).__name__}: {error}") from error


def _build_optimizer(name: str, array: Any, budget: int, workers: int) -> Any:
    from nevergrad.optimization import registry

    if name not in registry:
        raise unknown_name("optimizer", name, registry)
    one_by_one = InputError(f"optimizer must take a population; got {name!r}. Try 'DiagonalCMA' or 'OnePlusOne'.")
    if registry[name].no_parallelization:
        raise one_by_one
    try:
        optimizer = registry[name](array, budget=budget, num_workers=workers)
    except Exception as error:
        raise InputError(f"optimizer must be one that nevergrad can build; got {name!r}. {error}.") from error
    if any(one.recast or one.no_parallelization for one in optimizers_of(optimizer)):
        raise one_by_one
    return optimizer
