"""Fast Direct: the noise of a candidate moves towards a target among final latents."""

import math
from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import rotate
from zo_dno.strategies.prior import INIT_STEP, first_draws
from zo_dno.strategies.with_model import WithModel
from zo_dno.strategy import Problem
from zo_dno.surrogate.kernels import Kernel

_PUBLISHED_SIZE = 4 * 128 * 128  # entries of SDXL's latents, for which alpha was published
_POPULATION, _ROUNDS = 32, 50  # published
_NOISE = 1e-4  # variance of scores, as a share of the kernel's
_KERNEL = Kernel(length=1.0, mix=0.0)  # exp(-|x - x'|^2 / (2 D)), whose length scale is sqrt(D)


class FastDirect(WithModel):
    """Move noise along the gradient of a Gaussian process over final latents (Tan et al. 2025, arXiv:2502.01692).

    Every population is drawn from the prior and moved before it is queried, once more than the last one. A move
    renders the latents x_0 and takes their pseudo-target x* = x_0 + grad mu(x_0), where mu is the posterior mean of all
    scores told so far. Each draw of the noise becomes eps + alpha (x* - x_0), rescaled to the norm that it had. No
    gradient is taken through the pipeline, whose Jacobian counts as the identity, and none of the reward.

    As published are the rule, the Gaussian process (a squared exponential kernel of length scale sqrt(D) on D latents,
    and noise 1e-4), alpha = 80 and 32 candidates in each of 50 rounds, all for SDXL-Lightning. Ours is what makes them
    apply elsewhere:

    - Scores are standardized, and latents divided by their standard deviation among the first candidates, which is
      near 1 for SDXL's.
    - alpha is multiplied by D / 65,536, so that a move turns noise of any size by the same angle, and by
      1,600 / horizon for fewer than the published 1,600 queries, so that the moves of the last round lead as far.
    - A candidate moves 49 times at most, as it does in the last of the published rounds.
    - What was moved is projected to plausible noise.

    A draw that has not the size of the latents stays as it is; at least one must have it.

    Args:
        population: Number of candidates of a round; by default it has the published proportion to the number of rounds.
        alpha: Length of a move for 65,536 latents and 1,600 queries, in gradients of the process.
        moves: Largest number of moves of a candidate.
    Raises:
        InputError: An option is out of range.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_known", "_rewards", "_latents", "_unit")
    needs_gradient: ClassVar[bool] = False
    takes_reward_gradient: ClassVar[bool] = False
    needs_latents: ClassVar[bool] = True

    def __init__(
        self, problem: Problem, *, population: int | None = None, alpha: float = 80.0, moves: int = _ROUNDS - 1
    ) -> None:
        if population is None:
            in_proportion = round(math.sqrt(problem.horizon * _POPULATION / _ROUNDS))
            population = min(_POPULATION, max(4, in_proportion))
        super().__init__(problem, population=population)
        if moves < 1 or not alpha > 0:
            raise InputError(f"moves must be at least 1 and alpha above 0; got {moves} and {alpha}.")
        self.alpha, self.moves = alpha * max(1.0, _POPULATION * _ROUNDS / problem.horizon), moves
        self._known, self._rewards = torch.empty(0, 0), torch.empty(0)  # latents that have a score, and the scores
        self._latents = torch.empty(0, 0)  # of the last population
        self._unit = 0.0  # what all latents are divided by

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            z = first_draws(self)
        else:
            z = rotate(self.start, self.randn(self.population), INIT_STEP if self.has_init else 1.0)
        if len(self._rewards) > 1:
            mean = PosteriorMean(self._known, self._rewards)
            for _ in range(min(self.moves, self._first_id // self.population)):
                z = self._moved(z, mean)
            z = self.model.project(z)
        self._latents = self._seen(z)
        return z

    def _moved(self, z: Tensor, mean: "PosteriorMean") -> Tensor:
        """Move the draws of z (n, d) that have the size of the latents."""
        x = self._seen(z)
        size = x.shape[1]
        step = (self.alpha * size / _PUBLISHED_SIZE * mean.gradient(x)).float().nan_to_num()
        draws = [
            _with_norm(draw + step, draw.norm(dim=1, keepdim=True)) if draw.shape[1] == size else draw
            for draw in z.split(self.sizes, dim=1)
        ]
        return torch.cat(draws, dim=1)

    def _seen(self, z: Tensor) -> Tensor:
        """Return the latents of z (n, d), (n, D)."""
        x = self.model.latents(z).flatten(1)
        if x.shape[1] not in self.sizes:
            raise InputError(
                f"fast_direct needs draws of as many entries as latents, {x.shape[1]}; got {sorted(set(self.sizes))}. "
                "Take surrogate, which needs images alone."
            )
        if not self._unit:
            spread = float(x[x.isfinite().all(1)].std())
            self._unit = spread if spread > 0 else 1.0
        return x / self._unit

    def _update(self, z: Tensor, scores: Tensor) -> None:
        x = self._latents
        there = ~scores.isnan() & x.isfinite().all(1)
        self._known = torch.cat([self._known.reshape(-1, x.shape[1]), x[there]])
        self._rewards = torch.cat([self._rewards, scores[there]])


class PosteriorMean:
    """The mean of a Gaussian process of standardized rewards (Rasmussen and Williams 2006, eq. 2.25).

    Args:
        x: Latents, (n, D).
        rewards: Their rewards, (n,).
    """

    def __init__(self, x: Tensor, rewards: Tensor) -> None:
        self._x, y = x.double(), rewards.double()
        y = (y - y.mean()) / y.std(correction=0).clamp_min(1e-12)
        covariance = _KERNEL(self._x, self._x) + _NOISE * torch.eye(len(y), dtype=y.dtype)
        self._weights = torch.cholesky_solve(y[:, None], torch.linalg.cholesky(covariance))[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        """Predict the standardized rewards of latents (k, D), (k,)."""
        mean: Tensor = _KERNEL(x.double(), self._x) @ self._weights
        return mean

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient of the prediction at latents (k, D), (k, D)."""
        x = x.double()
        pull = _KERNEL(x, self._x) * self._weights
        slope: Tensor = (pull @ self._x - pull.sum(1, keepdim=True) * x) / x.shape[1]
        return slope


def _with_norm(draw: Tensor, norm: Tensor) -> Tensor:
    scaled: Tensor = draw * (norm / draw.norm(dim=1, keepdim=True).clamp_min(1e-12))
    return scaled
