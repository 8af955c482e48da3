"""Searches of other packages as strategies, for the comparison only: their own defaults but for what the prior says.

All begin with mean 0 and width 1, where prior draws lie, and have a population of 16. Every candidate is put on the
shell, as ours are, and the package is told its own point. None of them can be stored and resumed.
"""

import math
import queue
import threading
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem


class Outside(PopulationStrategy):
    """A search of another package; subclasses write `_points` and `_rewards`."""

    def _sample(self) -> Tensor:
        z = self.retract(torch.as_tensor(np.array(self._points()), dtype=torch.float32))
        if self._first_id == 0:
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        lowest = scores[~scores.isnan()].min()
        self._rewards(scores.nan_to_num(nan=float(lowest)).double().numpy())

    @abstractmethod
    def _points(self) -> Any:
        """Return the next points, (n, d)."""

    @abstractmethod
    def _rewards(self, rewards: np.ndarray) -> None:
        """Tell the rewards (n,) of the last points."""


class SepCMA(Outside):
    """`cmaes`' separable CMA-ES (Nomura and Shibata 2024)."""

    def __init__(self, problem: Problem, *, population: int = 16) -> None:
        super().__init__(problem, population=population)
        import cmaes

        self._cma = cmaes.SepCMA(np.zeros(self.d), 1.0, seed=problem.seed, population_size=population)
        self._asked_points: list[np.ndarray] = []

    def _points(self) -> Any:
        self._asked_points = [self._cma.ask() for _ in range(self.population)]
        return self._asked_points

    def _rewards(self, rewards: np.ndarray) -> None:
        self._cma.tell([(point, -float(reward)) for point, reward in zip(self._asked_points, rewards, strict=True)])


class OptunaCMA(Outside):
    """Optuna's CMA-ES sampler (Akiba et al. 2019), separable, a parameter a coordinate."""

    def __init__(self, problem: Problem, *, population: int = 16) -> None:
        super().__init__(problem, population=population)
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._names = [f"z{i:05d}" for i in range(self.d)]
        self._space = {name: optuna.distributions.FloatDistribution(-6.0, 6.0) for name in self._names}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = optuna.samplers.CmaEsSampler(
                x0=dict.fromkeys(self._names, 0.0),
                sigma0=1.0,
                seed=problem.seed % 2**32,
                popsize=population,
                use_separable_cma=True,
                n_startup_trials=1,
            )
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._trials: list[Any] = []

    def _points(self) -> Any:
        self._trials = [self._study.ask(self._space) for _ in range(self.population)]
        return [[trial.params[name] for name in self._names] for trial in self._trials]

    def _rewards(self, rewards: np.ndarray) -> None:
        for trial, reward in zip(self._trials, rewards, strict=True):
            self._study.tell(trial, float(reward))


class EvoTorch(Outside):
    """A searcher of EvoTorch (Toklu et al. 2023): it calls its objective itself, in a thread that waits for rewards."""

    def __init__(self, problem: Problem, *, population: int = 16) -> None:
        super().__init__(problem, population=population)
        self._seed = problem.seed % 2**31
        self._own_points: queue.Queue[Tensor] = queue.Queue()
        self._told_rewards: queue.Queue[Tensor] = queue.Queue()
        threading.Thread(target=self._search, daemon=True).start()

    @abstractmethod
    def _searcher(self, problem: Any) -> Any:
        """Make the searcher."""

    def _search(self) -> None:
        import evotorch

        evotorch.tools.misc.set_default_logger_config(logger_level=50, override=True)
        bound = math.sqrt(3)  # uniform with variance 1, where the searcher draws its first points so
        problem = evotorch.Problem(
            "max",
            self._reward_of,
            solution_length=self.d,
            initial_bounds=(-bound, bound),
            vectorized=True,
            seed=self._seed,
        )
        searcher = self._searcher(problem)
        while True:
            searcher.step()

    def _reward_of(self, points: Tensor) -> Tensor:
        self._own_points.put(points.detach().clone())
        return self._told_rewards.get()

    def _points(self) -> Any:
        return self._own_points.get()

    def _rewards(self, rewards: np.ndarray) -> None:
        self._told_rewards.put(torch.as_tensor(rewards, dtype=torch.float32))


class EvoTorchSNES(EvoTorch):
    """EvoTorch's SNES."""

    def _searcher(self, problem: Any) -> Any:
        from evotorch.algorithms import SNES

        return SNES(problem, stdev_init=1.0, popsize=self.population, center_init=torch.zeros(self.d))


class EvoTorchCoSyNE(EvoTorch):
    """EvoTorch's CoSyNE, with the settings of Jajal et al. 2025 (arXiv:2506.00299) but for a wider mutation.

    Their mutation of 0.1 was made for thousands of queries.
    """

    def _searcher(self, problem: Any) -> Any:
        from evotorch.algorithms import Cosyne

        return Cosyne(
            problem,
            popsize=self.population,
            tournament_size=8,
            mutation_stdev=0.3,
            mutation_probability=1.0,
            permute_all=True,
            num_elites=1,
        )
