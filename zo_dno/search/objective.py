"""The objective: the scores that a strategy is told, from rewards, the regularizer and constraint violations."""

import math
from typing import Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.plausibility import DEFAULT_LEVEL, Plausibility, PlausibilityTests
from zo_dno.noise.space import NoiseLayout

Gamma = float | Literal["auto"]
_TOLERATED = 0.1  # share of implausible candidates above which an automatic gamma rises
_FIRST_GAMMA = 0.05  # standard deviations of the first rewards per nat
_GAMMA_FACTOR = 1.5  # change of an automatic gamma after one population
_MARGIN = 10.0  # deviations below a first population without feasible candidates: the first feasible one then leads


class Objective:
    """Reward + gamma R(z), with every infeasible candidate below every feasible one.

    Args:
        layout: Layout of the searched noise.
        gamma: Weight of the regularizer R(z) <= 0 (DNO, arXiv 2405.18881), in reward units per nat. "auto" starts at 0,
            rises after a population with more than a tenth of implausible candidates and falls after one with none.
        min_log_prob: Smallest log P(z) of a feasible candidate, as a number or as the share of true Gaussian draws
            below it, such as "1%". With None any noise can win; its plausibility is still reported.
        k: Length of the vectors whose moments are compared with a Gaussian's.
        permutations: Number of random orders of z, besides the given one.
        seed: Seed of the permutations.
    Attributes:
        counts_perturbed: Whether an automatic gamma takes images with noise added for implausible, as older runs do.
    Raises:
        InputError: A number is out of range, or an automatic gamma comes without a min_log_prob.
    """

    def __init__(
        self,
        layout: NoiseLayout,
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
        self._tests = PlausibilityTests(layout, min_log_prob=min_log_prob, k=k, permutations=permutations, seed=seed)
        self._feasible, self._first = _Moments(), _Moments()
        self.counts_perturbed = False

    @property
    def constrained(self) -> bool:
        """Whether only plausible noise can win."""
        return self._tests.constrained

    @property
    def threshold(self) -> float:
        """Smallest log P(z) of plausible noise."""
        return self._tests.threshold

    def plausibility(self, z: Tensor) -> Plausibility:
        """Test candidates z (n, d)."""
        return self._tests(z)

    def project(self, z: Tensor) -> Tensor:
        """Move implausible noise in z (n, d) to plausible noise near it; without a min_log_prob nothing moves."""
        return self._tests.project(z)

    def regularizer(self, z: Tensor) -> Tensor:
        """Return the weighted penalty of z (n, d): gamma R(z) <= 0, (n,), differentiable."""
        return self.gamma * self._tests.probability.penalty(z)

    def told(
        self,
        z: Tensor,
        rewards: Tensor,
        plausibility: Plausibility,
        *,
        regularized: bool,
        penalized: bool = True,
        reward_violation: Tensor | None = None,
    ) -> Tensor:
        """Turn rewards (n,) into the scores that the strategy is told, (n,). A missing reward stays missing.

        Args:
            z: Noise of the candidates, (n, d).
            rewards: Rewards of the candidates, (n,); NaN is missing.
            plausibility: Plausibility of the candidates.
            regularized: Whether gamma R(z) is added; False for a strategy that takes the regularizer's gradient itself.
            penalized: Whether infeasible candidates score below feasible ones; False for a strategy that needs the
                differences of rewards unchanged.
            reward_violation: Violations of the reward's constraints, (n,); by default there are none.
        """
        scores = rewards.double()
        if regularized and self.gamma > 0:
            with torch.no_grad():
                scores = scores + self.regularizer(z).double()
        scores = scores.float().double()  # the ledger's precision, so that `recall` sees the same numbers on resume
        reward_violation = torch.zeros_like(scores) if reward_violation is None else reward_violation
        self.recall(scores, rewards, plausibility.plausible, reward_violation, plausibility.perturbed)
        if not penalized:
            return scores.float()
        violation = reward_violation + plausibility.noise_violation if self.constrained else reward_violation
        floor, spread = self._below()
        return torch.where((violation == 0) | scores.isnan(), scores, floor - spread * violation).float()

    def recall(
        self,
        told: Tensor,
        rewards: Tensor,
        plausible: Tensor,
        reward_violation: Tensor,
        perturbed: Tensor | None = None,
    ) -> None:
        """Update the state as `told` did for a population of an earlier session, (n,) each."""
        feasible = (reward_violation == 0) & (plausible | (not self.constrained))
        self._feasible.add(told[feasible & ~told.isnan()])
        if not self._first.n:
            self._first.add(rewards[~rewards.isnan()])
        own = plausible
        if perturbed is not None and not self.counts_perturbed:
            own = plausible[~perturbed]  # the rest cannot win at any gamma
        if self.adapts and len(own):
            self._adapt(float((~own).double().mean()))

    def _adapt(self, implausible: float) -> None:
        """Change gamma according to the implausible share of a population."""
        if implausible > _TOLERATED:
            self.gamma = max(self.gamma * _GAMMA_FACTOR, _FIRST_GAMMA * self._first.deviation)
        elif implausible == 0:
            self.gamma /= _GAMMA_FACTOR

    def _below(self) -> tuple[float, float]:
        """Return a score below every feasible candidate, and the score per unit of violation.

        Both stay constant until the first feasible candidate, so that the violation alone decides.
        """
        if self._feasible.n:
            return self._feasible.minimum, self._feasible.deviation
        return self._first.minimum - _MARGIN * self._first.deviation, self._first.deviation


class _Moments:
    """The smallest value and the standard deviation of all values added so far."""

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
