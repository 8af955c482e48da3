"""Bayesian optimization in a trust region, by BoTorch, for small spaces."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.rng import stream_seed
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_draws
from zo_dno.strategy import Problem

MOST_DIMENSIONS = 1000
_REACH = 4.0  # the searched box has coordinates from -4 to 4
_LONGEST, _SHORTEST = 1.6, 0.5**7  # sides of the region, as shares of the box's (Eriksson et al. 2019)
_POINTS = 1000  # at which a sample of the model is drawn
_LATEST = 512  # scores that the model is fitted to
_FIT_STEPS = 50  # of L-BFGS, at most
_CHANGED = 20  # coordinates of a candidate that differ from the best's, on average
_SEEDED = threading.RLock()  # one search at a time seeds torch's global generator, from any thread


class TuRBO(PopulationStrategy):
    """Propose points near the best where samples of a Gaussian process peak (Eriksson et al. 2019, arXiv:1910.01739).

    The region grows after populations that improved on the best and shrinks after those that did not; when it is
    too small it restarts at its first size. Candidates are put on the shell, and the model is fitted there.

    Args:
        length: First side of the region, as a share of the side of the box from -4 to 4.
        success: Populations in a row with an improvement after which the region grows.
        failure: Populations in a row without an improvement after which the region shrinks.
    Raises:
        InputError: BoTorch is not installed, or there are more than 1,000 dimensions.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_x", "_y", "_side", "_wins", "_losses")

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 8,
        length: float = 0.8,
        success: int = 2,
        failure: int = 3,
    ) -> None:
        super().__init__(problem, population=population)
        if self.d > MOST_DIMENSIONS:
            raise InputError(
                f"turbo must search at most {MOST_DIMENSIONS} dimensions, beyond which its model predicts nothing; got "
                f"{self.d}. Take space=low_band with dims=64."
            )
        if not (0 < length <= _LONGEST and success >= 1 and failure >= 1):
            raise InputError(
                f"length must be above 0 and at most {_LONGEST}, success and failure at least 1; got {length}, "
                f"{success} and {failure}."
            )
        _import_botorch()
        self._seed = problem.seed
        self._first_side, self._success, self._failure = length, success, failure
        self._x, self._y = torch.empty(0, self.d), torch.empty(0)
        self._side, self._wins, self._losses = length, 0, 0

    @property
    def step_size(self) -> float:
        """Half a side of the region, in coordinates."""
        return self._side * _REACH

    def _sample(self) -> Tensor:
        if len(self._y) < 2 * self.population or bool((self._y == self._y[0]).all()):
            return first_draws(self) if self._first_id == 0 else self.randn(self.population)
        return self.retract(self._near_the_best())

    def _update(self, z: Tensor, scores: Tensor) -> None:
        there = ~scores.isnan()
        before = float(self._y.max()) if len(self._y) else float("inf")
        self._x = torch.cat([self._x, z[there]])[-_LATEST:]
        self._y = torch.cat([self._y, scores[there]])[-_LATEST:]
        if len(self._y) <= 2 * self.population:
            return
        won = float(scores[there].max()) > before
        self._wins, self._losses = (self._wins + 1, 0) if won else (0, self._losses + 1)
        if self._wins == self._success:
            self._side, self._wins = min(_LONGEST, 2 * self._side), 0
        elif self._losses == self._failure:
            self._side, self._losses = self._side / 2, 0
            if self._side < _SHORTEST:
                self._side = self._first_side

    def _near_the_best(self) -> Tensor:
        """Draw points in the region, and return for each candidate the one where a sample of the model is largest."""
        x, y = ((self._x.double() / _REACH + 1) / 2).clamp(0, 1), self._y.double()
        seed = stream_seed(self._seed, "turbo", "fit", self._first_id)
        model = _fitted(x, ((y - y.mean()) / y.std())[:, None], seed)
        scales = model.covar_module.lengthscale.detach().flatten()
        sides = self._side * scales / scales.log().mean().exp()  # longer where the reward changes slowly
        best = x[int(y.argmax())]
        points = best + sides * (torch.rand(_POINTS, self.d, generator=self.rng) - 0.5)
        changed = torch.rand(_POINTS, self.d, generator=self.rng) < min(1.0, _CHANGED / self.d)
        points = torch.where(changed, points, best).clamp(0, 1)
        with torch.no_grad():
            posterior = model.posterior(points).mvn
            root = torch.linalg.cholesky(posterior.covariance_matrix + 1e-6 * torch.eye(_POINTS, dtype=torch.float64))
            noise = torch.randn(_POINTS, self.population, generator=self.rng).double()
            samples = posterior.mean[:, None] + root @ noise
        taken: list[int] = []
        for sample in samples.T:
            sample[taken] = -torch.inf
            taken.append(int(sample.argmax()))
        return ((2 * points[taken] - 1) * _REACH).float()


def _import_botorch() -> Any:
    try:
        import botorch
    except ImportError as error:
        raise InputError("turbo needs BoTorch, which is not installed: pip install 'zo-dno[bayes]'") from error
    return botorch


@contextmanager
def _own_global_torch(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the block, and restore it after it."""
    with _SEEDED, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would change those of GPUs for good
        yield


def _fitted(x: Tensor, y: Tensor, seed: int) -> Any:
    """Fit a Gaussian process to points (n, d) in the unit cube and standardised scores (n, 1)."""
    import warnings

    import gpytorch
    from botorch.exceptions import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP

    model = SingleTaskGP(x, y)
    with warnings.catch_warnings(), _own_global_torch(seed):  # BoTorch draws new starts where a fit fails
        warnings.simplefilter("ignore")  # a fit may stop before its tolerance
        with suppress(ModelFittingError):  # after several starts, and leaves the model as its priors have it
            fit_gpytorch_mll(
                gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model),
                optimizer_kwargs={"options": {"maxiter": _FIT_STEPS}},
            )
    model.eval()
    return model
