"""What the search is told: the reward, the regulariser, and how far a candidate is from plausible Gaussian noise."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.regularizer import GaussianProbability
from zo_dno.noise.space import NoiseLayout, retract
from zo_dno.noise.whiteness import norm_p_value, norm_ratio, whiteness

DEFAULT_LEVEL = "1%"
Gamma = float | Literal["auto"]
_TOLERATED = 0.1  # of a population, before an automatic gamma rises
_FIRST_GAMMA, _GAMMA_FACTOR = 0.05, 1.5  # of the first rewards' standard deviation a nat; a population
_RESTORING, _SPARE = 20, 1.0  # steps at most; nats that the noise is then from the edge
_MARGIN = 10.0  # deviations below a first population in which none may win, so that the first that may win leads


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How plausible n candidates are as draws of a standard Gaussian; every field is (n,).

    Attributes:
        log_prob: log P(z), the Gaussian probability indicator of DNO.
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the spectral whiteness test.
        noise_violation: how far, in nats, the tests are from being passed; 0 where they are.
        plausible: every test is passed.
    """

    log_prob: Tensor
    norm_ratio: Tensor
    whiteness: Tensor
    noise_violation: Tensor
    plausible: Tensor

    def __len__(self) -> int:
        return len(self.log_prob)

    def without(self, rows: Tensor) -> "Plausibility":
        """Return the same with some rows (n,) that may not win, though their noise lacks nothing."""
        return replace(self, noise_violation=self.noise_violation.where(~rows, 0), plausible=self.plausible & ~rows)

    def at(self, row: int) -> "PlausibilityOfOne":
        """Return the figures of one candidate."""
        figures = (self.log_prob, self.norm_ratio, self.whiteness, self.noise_violation)
        log_prob, ratio, white, noise_violation = (float(figure[row]) for figure in figures)
        return PlausibilityOfOne(log_prob, ratio, white, noise_violation, bool(self.plausible[row]))


@dataclass(frozen=True, slots=True)
class PlausibilityOfOne:
    """The fields of `Plausibility` for one candidate."""

    log_prob: float
    norm_ratio: float
    whiteness: float
    noise_violation: float
    plausible: bool


class Objective:
    """Reward + gamma R(z), with candidates that may not win below every one that may.

    Args:
        space: of the searched noise.
        gamma: weight of the regulariser R(z) <= 0 (DNO, arXiv 2405.18881), in reward units per nat. "auto" begins at 0
            and follows the populations: up where more than a tenth of one is not plausible, down where all of it is.
        min_log_prob: smallest log P(z) of a feasible candidate, as a number or as the share of true Gaussian draws
            that lie below it, such as "1%". None lets every noise win; its plausibility is still reported.
        k: length of the vectors whose moments are compared with a Gaussian's.
        permutations: number of orders that z is looked at in, beside its own.
        seed: of the permutations.
    """

    def __init__(
        self,
        space: NoiseLayout,
        *,
        gamma: Gamma = 0.0,
        min_log_prob: float | str | None = DEFAULT_LEVEL,
        k: int = 4,
        permutations: int = 100,
        seed: int = 0,
    ) -> None:
        self.adapts = gamma == "auto"
        self.gamma = 0.0 if isinstance(gamma, str) else gamma
        if not (self.gamma >= 0 and math.isfinite(self.gamma)) or (isinstance(gamma, str) and not self.adapts):
            raise InputError(f"gamma must be a finite number of at least 0, or 'auto'; got {gamma}.")
        if self.adapts and min_log_prob is None:
            raise InputError("gamma 'auto' must come with a min_log_prob to be met; got None.")
        self.constrained = min_log_prob is not None
        self._space = space
        self._probability = GaussianProbability(space.d, k=k, permutations=permutations, seed=seed)
        self.threshold = self._probability.threshold(DEFAULT_LEVEL if min_log_prob is None else min_log_prob)
        level = min_log_prob if isinstance(min_log_prob, str) and min_log_prob.endswith("%") else DEFAULT_LEVEL
        self._joint_level = float(level.rstrip("%")) / 100 / 2  # norm and whiteness share the level
        self._allowed, self._first = _Moments(), _Moments()

    def plausibility(self, z: Tensor) -> Plausibility:
        """Test candidates z (n, d)."""
        with torch.no_grad():
            log_prob, white, noise_violation = self._tests(z)
            return Plausibility(log_prob, norm_ratio(z).double(), white, noise_violation, noise_violation == 0)

    def project(self, z: Tensor) -> Tensor:
        """Move noise z (n, d) that is not plausible to where it is, with a little to spare, by the shortest way down.

        Each step is Newton's on the violation, along its gradient, and ends on the Gaussian shell. Without a smallest
        log P nothing is moved.
        """
        for _ in range(_RESTORING if self.constrained else 0):
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                noise_violation = self._tests(z, spare=_SPARE)[2]
                if not bool(noise_violation.any()):
                    break
                (slope,) = torch.autograd.grad(noise_violation.sum(), z)
            step = noise_violation / slope.double().square().sum(1).clamp_min(1e-30)
            z = retract(z - (step[:, None] * slope).float(), self._space.sizes)
        return z.detach()

    def _tests(self, z: Tensor, spare: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return log P, the p-value of whiteness, and how far z is from passing with so many nats to spare."""
        log_prob = self._probability.log_prob(z).double()
        white = whiteness(z, self._space.shapes).double()
        tests = torch.stack([norm_p_value(z).double(), white]).clamp_min(1e-300).log()
        reward_violation = (math.log(self._joint_level) + spare - tests).clamp_min(0).sum(0)
        return log_prob, white, (self.threshold + spare / 2 - log_prob).clamp_min(0) + reward_violation

    def regularizer(self, z: Tensor) -> Tensor:
        """Weigh the penalty of z (n, d): gamma R(z) <= 0, (n,), differentiable."""
        return self.gamma * self._probability.penalty(z)

    def told(
        self,
        z: Tensor,
        rewards: Tensor,
        plausibility: Plausibility,
        *,
        regularized: bool,
        penalised: bool = True,
        reward_violation: Tensor | None = None,
    ) -> Tensor:
        """Turn rewards (n,) into what the strategy is told, (n,). Missing stays missing.

        Args:
            z: (n, d).
            rewards: (n,), NaN is missing.
            plausibility: of the same candidates.
            regularized: add gamma R(z); not for a strategy that takes its gradient itself.
            penalised: tell less of what may not win; not for a strategy that needs differences of rewards as they are.
            reward_violation: (n,), distances from what the reward requires; by default nothing is required.
        """
        scores = rewards.double()
        if regularized and self.gamma > 0:
            with torch.no_grad():
                scores = scores + self.regularizer(z).double()
        scores = scores.float().double()  # as a ledger keeps them, so that `recall` sees the same numbers
        reward_violation = torch.zeros_like(scores) if reward_violation is None else reward_violation
        self.recall(scores, rewards, plausibility.plausible, reward_violation)
        if not penalised:
            return scores.float()
        violation = reward_violation + plausibility.noise_violation if self.constrained else reward_violation
        floor, spread = self._below()
        return torch.where((violation == 0) | scores.isnan(), scores, floor - spread * violation).float()

    def recall(self, told: Tensor, rewards: Tensor, plausible: Tensor, reward_violation: Tensor) -> None:
        """Take note of a population that was told before, (n,) each, as `told` did then."""
        allowed = (reward_violation == 0) & (plausible | (not self.constrained))
        self._allowed.add(told[allowed & ~told.isnan()])
        if not self._first.n:
            self._first.add(rewards[~rewards.isnan()])
        if self.adapts:
            self._adapt(float((~plausible).double().mean()))

    def _adapt(self, implausible: float) -> None:
        """Change gamma by the part of a population that is not plausible."""
        if implausible > _TOLERATED:
            self.gamma = max(self.gamma * _GAMMA_FACTOR, _FIRST_GAMMA * self._first.deviation)
        elif implausible == 0:
            self.gamma /= _GAMMA_FACTOR

    def _below(self) -> tuple[float, float]:
        """Return what lies below all that may win, and the unit of how far.

        While none may win this stays where it is, so that what is lacking alone decides.
        """
        if self._allowed.n:
            return self._allowed.minimum, self._allowed.deviation
        return self._first.minimum - _MARGIN * self._first.deviation, self._first.deviation


class _Moments:
    """Smallest value and standard deviation of everything added so far."""

    def __init__(self) -> None:
        self.n, self._mean, self._squares = 0, 0.0, 0.0
        self.minimum = 0.0

    def add(self, values: Tensor) -> None:
        for value in values.tolist():
            self.minimum = min(self.minimum, value) if self.n else value
            self.n += 1
            delta = value - self._mean
            self._mean += delta / self.n
            self._squares += delta * (value - self._mean)

    @property
    def deviation(self) -> float:
        deviation = math.sqrt(self._squares / self.n) if self.n else 0.0
        return deviation or 1.0
