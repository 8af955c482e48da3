"""CMA-ES by pycma, with a diagonal covariance or one that models correlations."""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategies.ranking import shuffled_ranks
from zo_dno.strategies.replayed import ReplayedStrategy
from zo_dno.strategy import Problem

MIN_POPULATION = 4  # pycma's selection needs two parents
FULL_MATRICES = 5  # d x d each: the covariance, its roots, and the memory of factoring it
MOST_MEMORY = 2e9  # bytes of a full covariance, whose factoring takes minutes at that size

Covariance = Literal["diagonal", "vd", "vkd", "full"]


class CMAES(ReplayedStrategy):
    """Adapt mean, step size and covariance (Hansen 2016, arXiv:1604.00772).

    The first candidates are prior draws (or lie around `init`). All are put on the shell, and pycma is told its own
    points, as ranks: ties and missing scores are ordered at random, since pycma's sorting prefers the first of equals.
    A population of equal scores is not told. pycma's stop criteria are not used.

    Args:
        covariance: Model of the covariance; "diagonal" has one variance a coordinate (Ros and Hansen 2008); "vd" one
            direction beside it (Akimoto et al. 2014), "vkd" as many as are useful (Akimoto and Hansen 2016), "full"
            all, for small spaces.
        mean_rate: Learning rate of the mean; 1 is usual, but 2 does better within 512 queries (docs/strategies.md).
        population: Number of candidates per `ask`, at least 4.
    Raises:
        InputError: A full covariance of this many coordinates does not fit into memory.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        covariance: Covariance = "diagonal",
        mean_rate: float = 2.0,
    ) -> None:
        super().__init__(problem, population=population)
        if population < MIN_POPULATION:
            raise InputError(f"population must be at least {MIN_POPULATION} with pycma; got {population}.")
        if not mean_rate > 0:
            raise InputError(f"mean_rate must be above 0; got {mean_rate}. 1 is the usual one.")
        if covariance not in get_args(Covariance):
            raise unknown_name("covariance", covariance, get_args(Covariance))
        takes = 8 * FULL_MATRICES * self.d**2
        if covariance == "full" and takes > MOST_MEMORY:
            fits = math.isqrt(int(MOST_MEMORY / 8 / FULL_MATRICES))
            raise InputError(
                f"covariance full takes {takes / 1e9:.1f} GB at d = {self.d}. Search a space of at most {fits} "
                "dimensions, such as space=low_band with dims=256, or take diagonal, vd or vkd."
            )
        self._covariance = covariance
        self._c_m = mean_rate  # Hansen 2016, eq. 9
        self._rebuild()

    @property
    def step_size(self) -> float:
        return float(self._es.sigma)

    def _build(self, numpy: OwnGlobalNumpy) -> None:
        import cma

        mean, sigma = first_gaussian(self.start, self.has_init)
        options = {
            "popsize": self.population,
            "CMA_cmean": self._c_m,
            # its default at this d, two-point adaptation, breaks when asked twice before a tell
            "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "randn": numpy.random_state.randn,
            "seed": float("nan"),  # 0 would mean the time, and any number seeds the global generator
            "verbose": -9,
            "verb_log": 0,
        }
        if self._covariance == "diagonal":
            options["CMA_diagonal"] = True
        elif self._covariance != "full":
            from cma.restricted_gaussian_sampler import GaussVDSampler, GaussVkDSampler

            sampler = GaussVDSampler if self._covariance == "vd" else GaussVkDSampler
            options = sampler.extend_cma_options(options)  # the second brings a step-size rule of its own
        self._es: Any = cma.CMAEvolutionStrategy(mean.double().numpy(), sigma, options)
        self._points: Any = None

    def _propose(self) -> Tensor:
        first, self._points = self._points is None, self._es.ask()
        if first:
            self._points[0] = self.start.double().numpy()  # the candidate that stands in its place
        return torch.stack([torch.from_numpy(point).float() for point in self._points])

    def _learn(self, scores: Tensor) -> None:
        present = scores[~scores.isnan()]
        if bool((present == present[:1]).all()):
            return
        self._es.tell(self._points, (-shuffled_ranks(scores, self.rng)).tolist())
