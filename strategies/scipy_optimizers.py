"""SciPy's derivative-free optimizers behind ask and tell; each runs in a thread of its own."""

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError, RunError, unknown_name
from zo_dno.noise.space import rotate
from zo_dno.rng import numpy_stream
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategies.prior import INIT_STEP
from zo_dno.strategies.replayed import ReplayedStrategy
from zo_dno.strategy import Problem

Points = np.ndarray  # (n, d)
Values = np.ndarray  # (n,)
Function = Callable[[Points], Values]
BOUND = 5.0  # of methods that need one; a Gaussian entry lies outside once in two million
MOST = {"nelder_mead": 2048, "powell": 2048, "cobyqa": 128, "dual_annealing": 20_000}
"""Most dimensions of a method: Nelder-Mead and Powell keep d x d numbers for each member of the population, and COBYQA
solves 3 d equations before every point."""
OPTIMIZERS = ("differential_evolution", *MOST)


class SciPy(ReplayedStrategy):
    """Search with an optimizer of SciPy (Virtanen et al. 2020), on the shell; SciPy is told its own points.

    Differential evolution evaluates a population. The others evaluate one point at a time, so one of them runs for
    each member of the population, from a prior draw of its own (or around `init`), and restarts when it ends.

    Args:
        optimizer: Method, "differential_evolution", "nelder_mead", "powell", "cobyqa" or "dual_annealing". COBYQA is
            its own package's (Ragonneau and Zhang 2024); SciPy's copy allows only one at a time in a process.
        population: Number of candidates per `ask`, at least 5 for differential evolution.
    Raises:
        InputError: The method has too many dimensions; search a space.
    """

    def __init__(self, problem: Problem, *, population: int = 16, optimizer: str = "differential_evolution") -> None:
        super().__init__(problem, population=population)
        if optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", optimizer, OPTIMIZERS)
        if optimizer == "differential_evolution" and population < 5:
            raise InputError(f"population must be at least 5 with differential_evolution; got {population}.")
        if self.d > MOST.get(optimizer, self.d):
            raise InputError(
                f"{optimizer} holds at most {MOST[optimizer]} dimensions; got {self.d}. Search a space, such as "
                "space=low_band with dims=64."
            )
        self.optimizer = optimizer
        self._driven: list[Driven] = []
        weakref.finalize(self, _end, self._driven)
        self._rebuild()

    def _build(self, numpy: OwnGlobalNumpy) -> None:
        starts = self.randn(self.population)
        if self.has_init:
            starts = rotate(self.start, starts, INIT_STEP)
        starts[0] = self.start
        rows = starts.double().numpy()
        groups = [rows] if self.optimizer == "differential_evolution" else [row[None] for row in rows]
        width = INIT_STEP if self.has_init else 1.0
        _end(self._driven)
        self._driven[:] = [
            Driven(_work(self.optimizer, group, width, numpy_stream(self._seed, "strategy", "scipy", i)))
            for i, group in enumerate(groups)
        ]
        self._last_median = 0.0

    def _propose(self) -> Tensor:
        self._points = [driven.points() for driven in self._driven]
        return torch.from_numpy(np.concatenate(self._points)).float()

    def _learn(self, scores: Tensor) -> None:
        median = float(scores.nanmedian())
        self._last_median = self._last_median if median != median else median
        losses = -scores.nan_to_num(nan=self._last_median).double().numpy()
        at = 0
        for driven, points in zip(self._driven, self._points, strict=True):
            driven.answer(losses[at : at + len(points)])
            at += len(points)


class Driven:
    """A thread that calls a function again and again, and waits for the values of each call.

    Args:
        work: Function that calls its argument.
    """

    def __init__(self, work: Callable[[Function], None]) -> None:
        self._points: queue.Queue[Points | BaseException] = queue.Queue(1)
        self._values: queue.Queue[Values | None] = queue.Queue(1)
        threading.Thread(target=self._run, args=(work,), daemon=True, name="zo-dno scipy").start()

    def points(self) -> Points:
        """Wait for the next points, (n, d).

        Raises:
            RunError: `work` failed.
        """
        found = self._points.get()
        if isinstance(found, BaseException):
            raise RunError(f"SciPy failed: {type(found).__name__}: {found}") from found
        return found

    def answer(self, values: Values) -> None:
        """Give the values (n,) of the last points."""
        self._values.put(values)

    def end(self) -> None:
        """Let the thread end."""
        self._values.put(None)

    def _run(self, work: Callable[[Function], None]) -> None:
        try:
            work(self._ask)
        except _EndedError:
            pass
        except BaseException as error:  # raised where points are asked for
            self._points.put(error)

    def _ask(self, points: Points) -> Values:
        self._points.put(np.array(points))
        values = self._values.get()
        if values is None:
            raise _EndedError
        return values


class _EndedError(BaseException):
    """The strategy is gone, so the thread ends."""


def _end(driven: list[Driven]) -> None:
    for one in driven:
        one.end()


def _work(optimizer: str, starts: Points, width: float, rng: np.random.Generator) -> Callable[[Function], None]:
    """Return what minimises a function from `starts` (n, d), and again from prior draws whenever it ends."""

    def work(function: Function) -> None:
        from scipy import optimize

        x, d = starts, starts.shape[1]
        bounds = [(-BOUND, BOUND)] * d

        def of_one(point: np.ndarray) -> float:
            return float(function(point[None])[0])

        options: dict[str, Any] = {"maxfev": 10**9, "maxiter": 10**9}
        while True:
            if optimizer == "differential_evolution":
                optimize.differential_evolution(
                    lambda points: function(points.T),
                    bounds,
                    init=x.clip(-BOUND, BOUND),
                    maxiter=10**9,
                    atol=-1,  # equal scores do not end it
                    tol=0,
                    polish=False,
                    updating="deferred",
                    vectorized=True,
                    rng=rng,
                )
            elif optimizer == "dual_annealing":
                optimize.dual_annealing(
                    of_one,
                    bounds,
                    x0=x[0].clip(-BOUND, BOUND),
                    maxiter=10**9,
                    maxfun=10**9,
                    no_local_search=True,
                    rng=rng,
                )
            elif optimizer == "cobyqa":
                from cobyqa import minimize

                minimize(of_one, x[0], options={"radius_init": width, "maxfev": 10**9, "maxiter": 10**9})
            else:
                if optimizer == "nelder_mead":
                    options["initial_simplex"] = np.vstack([x, x + width * rng.standard_normal((d, d))])
                    options["adaptive"] = True
                optimize.minimize(of_one, x[0], method=_METHODS[optimizer], options=options)
            x = rng.standard_normal(x.shape)

    return work


_METHODS = {"nelder_mead": "Nelder-Mead", "powell": "Powell"}
