"""CMA-ME by pyribs: evolution that fills the cells of measures, with candidates on the Gaussian shell."""

from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream_seed
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.replayed import ReplayedStrategy
from zo_dno.strategy import Measured, Problem

MIN_POPULATION = 4
_OFF = 1.0  # below the lowest value of a population, for candidates without a score


class CMAME(ReplayedStrategy):
    """Improve the best candidate of every cell of measures by CMA-ES (CMA-ME, Fontaine et al. 2020).

    Archive, ranking by improvement and the separable CMA-ES, whose cost is linear in the dimension, are those of
    pyribs (Tjanaka et al. 2023). A candidate is worth what it adds: most where its cell was empty, then by how much it
    is better than the cell's best. Where a population adds nothing, CMA-ES begins again at a random elite. Every
    candidate is put on the shell, and pyribs is told its own point.

    Args:
        sigma: Width of the first candidates around an elite.
        population: Number of candidates per `ask`.
    """

    def __init__(self, problem: Problem, *, population: int = 16, sigma: float = 0.5) -> None:
        super().__init__(problem, population=population)
        if population < MIN_POPULATION:
            raise InputError(f"population must be at least {MIN_POPULATION} with cma_me; got {population}.")
        if not sigma > 0:
            raise InputError(f"sigma must be above 0; got {sigma}.")
        if find_spec("ribs") is None:
            raise InputError("cma_me needs pyribs, which is not installed: pip install 'zo-dno[diverse]'.")
        self.sigma = sigma
        self._ranges: list[tuple[float, float]] | None = None
        self._cells = 1
        self._measured: Measured | None = None
        self._taught: list[Tensor] = []  # scores and measures of the populations, as pyribs was told them

    def use_measures(self, ranges: Sequence[tuple[float, float]], cells: int) -> None:
        """Take the range of each measure and the number of its cells."""
        self._ranges, self._cells = list(ranges), cells
        self._rebuild()

    @property
    def step_size(self) -> float:
        return self.sigma

    def tell_measured(self, measured: Measured) -> None:
        """Take the measures of the images whose scores are told next."""
        self._measured = measured

    def _build(self, numpy: OwnGlobalNumpy) -> None:
        from ribs.archives import GridArchive
        from ribs.emitters import EvolutionStrategyEmitter

        assert self._ranges is not None
        mean, _ = first_gaussian(self.start, self.has_init)
        seed = stream_seed(self._seed, "ribs")
        dims = [self._cells] * len(self._ranges)
        self._archive: Any = GridArchive(solution_dim=self.d, dims=dims, ranges=self._ranges, seed=seed)
        self._emitter: Any = EvolutionStrategyEmitter(
            self._archive,
            x0=mean.double().numpy(),
            sigma0=self.sigma,
            es="sep_cma_es",
            batch_size=self.population,
            seed=seed,
        )

    def _propose(self) -> Tensor:
        if self._ranges is None:
            raise AskTellError("CMAME must be given measures to fill the cells of: use_measures.")
        self._points = self._emitter.ask()
        return torch.from_numpy(self._points.copy()).float()

    def _learn(self, scores: Tensor) -> None:
        measured, self._measured = self._measured, None
        assert self._ranges is not None
        measures = None if measured is None else measured.measures
        if measures is None:
            measures = torch.full((len(scores), len(self._ranges)), torch.nan, dtype=torch.float64)
        outcome = torch.cat([scores[:, None].double(), measures], 1)
        self._taught.append(outcome)
        self._teach(outcome)

    def _teach(self, outcome: Tensor) -> None:
        """Tell pyribs scores and measures (n, k + 1); those without a value add nothing."""
        told = outcome.numpy()
        there = np.isfinite(told).all(1)
        if not there.any():
            return
        found = self._archive.add(self._points[there], told[there, 0], told[there, 1:])
        lowest = float(told[there, 0].min())
        scores = np.where(there, told[:, 0], lowest - _OFF)
        measures = np.where(there[:, None], told[:, 1:], told[there, 1:].mean(0))
        added = {name: np.zeros(len(told), values.dtype) for name, values in found.items()}
        for name, values in found.items():
            added[name][there] = values
        added["value"][~there] = min(0.0, float(found["value"].min())) - _OFF
        self._emitter.tell(self._points, scores, measures, added)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_taught": deepcopy(self._taught)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._ranges is not None:
            self._rebuild()
            with self._numpy.swapped_in():
                for place in range(len(state["_history"]) + bool(len(state["_scores"]))):
                    self._propose()
                    if place < len(state["_taught"]):
                        self._teach(state["_taught"][place])
        PopulationStrategy.load_state_dict(self, state)
        self._history, self._taught = deepcopy(state["_history"]), deepcopy(state["_taught"])
