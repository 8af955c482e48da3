"""pymoo's NSGA-II for noise: sampling, crossover and mutation that keep Gaussians Gaussian."""

import math
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.evaluator import Evaluator
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.sampling import Sampling
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem


class GaussianSampling(Sampling):  # type: ignore[misc]
    """Draws of a Gaussian of a mean and a width."""

    def __init__(self, mean: Any, width: float) -> None:
        super().__init__()
        self._mean, self._width = mean, width

    def _do(self, problem: Any, n_samples: int, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
        return self._mean + self._width * random_state.standard_normal((n_samples, problem.n_var))


class Mixed(Crossover):  # type: ignore[misc]
    """Two parents turned into each other by a random angle: of independent Gaussians, both children are Gaussian."""

    def __init__(self, prob: float) -> None:
        super().__init__(2, 2, prob=prob)

    def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:  # noqa: N803, pymoo's name
        angle = random_state.random((X.shape[1], 1)) * math.pi / 2
        one, other = np.cos(angle), np.sin(angle)
        return np.stack([one * X[0] + other * X[1], one * X[1] - other * X[0]])


class Turned(Mutation):  # type: ignore[misc]
    """Noise turned by fresh noise: sqrt(1 - step^2) z + step noise."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self._step = step

    def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:  # noqa: N803, pymoo's name
        return math.sqrt(1 - self._step**2) * X + self._step * random_state.standard_normal(X.shape)


def algorithm(mean: Any, width: float, population: int, rewards: int, step: float, crossover: float, seed: int) -> Any:
    """Return NSGA-II that is ready to be asked."""
    operators: dict[str, Any] = {  # pymoo infers the types of its arguments from their defaults
        "sampling": GaussianSampling(mean, width),
        "crossover": Mixed(crossover),
        "mutation": Turned(step),
    }
    made = NSGA2(pop_size=population, eliminate_duplicates=False, **operators)
    made.setup(Problem(n_var=len(mean), n_obj=rewards, n_ieq_constr=1), termination=NoTermination(), seed=seed)
    return made


def evaluated(problem: Any, asked: Any, outcome: Any, there: Any) -> Any:
    """Return the candidates that have values, with those, which pymoo minimises, and their violations.

    Args:
        problem: pymoo's problem.
        asked: pymoo's population.
        outcome: Values and violation of each candidate, (n, m + 1).
        there: Whether a candidate has all values, (n,).
    """
    static = StaticProblem(problem, F=-outcome[there, :-1], G=outcome[there, -1:])
    told = asked[there]
    Evaluator().eval(static, told)
    return told
