"""Plausibility of noise as a standard Gaussian draw: the tests, their thresholds and the projection."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zo_dno.noise.regularizer import GaussianProbability
from zo_dno.noise.space import NoiseLayout, retract
from zo_dno.noise.whiteness import norm_p_value, norm_ratio, whiteness

DEFAULT_LEVEL = "1%"
_PROJECTION_STEPS = 20  # at most
_SPARE = 1.0  # nats between projected noise and the threshold


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How plausible n candidates are as draws of a standard Gaussian; every field is (n,).

    Attributes:
        log_prob: log P(z), the Gaussian probability indicator of DNO.
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the spectral whiteness test.
        noise_violation: Distance to the tests' thresholds in nats; 0 where all are passed.
        plausible: Whether every test is passed.
        perturbed: Whether noise is added to the image, so that the candidate cannot win; None means none.
    """

    log_prob: Tensor
    norm_ratio: Tensor
    whiteness: Tensor
    noise_violation: Tensor
    plausible: Tensor
    perturbed: Tensor | None = None

    def __len__(self) -> int:
        return len(self.log_prob)

    def with_perturbed(self, rows: Tensor) -> "Plausibility":
        """Return a copy with some rows (n,) perturbed: they cannot win, although their noise violates nothing."""
        violation, plausible = self.noise_violation.where(~rows, 0), self.plausible & ~rows
        return replace(self, noise_violation=violation, plausible=plausible, perturbed=rows)

    def at(self, row: int) -> "PlausibilityOfOne":
        """Return the figures of one candidate."""
        figures = (self.log_prob, self.norm_ratio, self.whiteness, self.noise_violation)
        log_prob, ratio, white, noise_violation = (float(figure[row]) for figure in figures)
        perturbed = self.perturbed is not None and bool(self.perturbed[row])
        return PlausibilityOfOne(log_prob, ratio, white, noise_violation, bool(self.plausible[row]), perturbed)


@dataclass(frozen=True, slots=True)
class PlausibilityOfOne:
    """The fields of `Plausibility` for one candidate."""

    log_prob: float
    norm_ratio: float
    whiteness: float
    noise_violation: float
    plausible: bool
    perturbed: bool = False


class PlausibilityTests:
    """The tests of log P, norm and whiteness with one significance level.

    Args:
        layout: Layout of the noise.
        min_log_prob: Smallest log P(z) of plausible noise, as a number or as the share of true Gaussian draws below it,
            such as "1%". With None the default level decides what is called plausible, and `project` moves nothing.
        k: Length of the vectors whose moments are compared with a Gaussian's.
        permutations: Number of random orders of z, besides the given one.
        seed: Seed of the permutations.
    Raises:
        InputError: k, permutations or min_log_prob is out of range.
    """

    def __init__(
        self,
        layout: NoiseLayout,
        *,
        min_log_prob: float | str | None = DEFAULT_LEVEL,
        k: int = 4,
        permutations: int = 100,
        seed: int = 0,
    ) -> None:
        self.constrained = min_log_prob is not None
        self.probability = GaussianProbability(layout.d, k=k, permutations=permutations, seed=seed)
        self.threshold = self.probability.threshold(DEFAULT_LEVEL if min_log_prob is None else min_log_prob)
        level = min_log_prob if isinstance(min_log_prob, str) and min_log_prob.endswith("%") else DEFAULT_LEVEL
        self._joint_level = float(level.rstrip("%")) / 100 / 2  # norm and whiteness share the level
        self._layout = layout

    def __call__(self, z: Tensor) -> Plausibility:
        """Test candidates z (n, d)."""
        with torch.no_grad():
            log_prob, white, noise_violation = self._tests(z)
            return Plausibility(log_prob, norm_ratio(z).double(), white, noise_violation, noise_violation == 0)

    def project(self, z: Tensor) -> Tensor:
        """Move implausible noise in z (n, d) to plausible noise near it, with a little to spare.

        Each step is Newton's on the violation, along its gradient, and ends on the Gaussian shell.
        """
        for _ in range(_PROJECTION_STEPS if self.constrained else 0):
            with torch.enable_grad():
                z = z.detach().requires_grad_()
                noise_violation = self._tests(z, spare=_SPARE)[2]
                if not bool(noise_violation.any()):
                    break
                (slope,) = torch.autograd.grad(noise_violation.sum(), z)
            step = noise_violation / slope.double().square().sum(1).clamp_min(1e-30)
            z = retract(z - (step[:, None] * slope).float(), self._layout.sizes)
        return z.detach()

    def _tests(self, z: Tensor, spare: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Return log P, the p-value of whiteness and the violation of all tests with `spare` nats of margin."""
        log_prob = self.probability.log_prob(z).double()
        white = whiteness(z, self._layout.shapes).double()
        tests = torch.stack([norm_p_value(z).double(), white]).clamp_min(1e-300).log()
        violation = (math.log(self._joint_level) + spare - tests).clamp_min(0).sum(0)
        return log_prob, white, (self.threshold + spare / 2 - log_prob).clamp_min(0) + violation
