"""Zeroth-order gradient ascent: finite differences along random directions, and a step rule."""

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.noise.space import rotate
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.directions import DIRECTIONS, towards_past
from zo_dno.strategies.estimators import central_difference, forward_difference
from zo_dno.strategies.slopes import slope_of
from zo_dno.strategies.step_rules import STEP_RULES, zero_moments
from zo_dno.strategy import Problem, Regularizer

Estimator = Literal["forward", "central"]


class ZOSGD(PopulationStrategy):
    """Climb along gradients estimated from reward values (ZO-SGD of Tang et al. 2024, arXiv:2405.18881, in two forms).

    Probes are sqrt(1 - mu^2) z +- mu xi, so they stay on the shell. The estimate is the gradient of the reward itself,
    in its unit per unit of z, and gamma times the regulariser's exact gradient is added: gamma means what it means in
    the objective reward + gamma R. There is no weight decay.

    Args:
        estimator: Kind of differences; "forward" scores the iterate and population - 1 probes, "central" pairs of
            probes.
        directions: Distribution of the probes, a name in DIRECTIONS.
        guided: Share of a probe that lies in the span of the last gradients.
        memory: Number of last gradients.
        optimizer: Step rule; "adam" takes steps of about `lr` a coordinate in any unit of the reward, "sign" of
            exactly that; "sgd" takes lr * gradient, so `lr` depends on that unit.
        lr: Learning rate.
        momentum: Momentum of "sgd" and "sign", and beta_1 of "adam".
        mu: Probe radius, the share of a probe that is new noise.
        retraction: Whether to put the iterate back on the shell after every step.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_xi", "_moments", "_count", "_past")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_xi",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        estimator: Estimator = "central",
        directions: Literal["gaussian", "sphere", "rademacher", "orthogonal"] = "gaussian",
        guided: float = 0.0,
        memory: int = 5,
        optimizer: Literal["sgd", "adam", "sign"] = "adam",
        lr: float = 0.2,
        momentum: float = 0.9,
        mu: float = 0.3,
        retraction: bool = True,
    ) -> None:
        super().__init__(problem, population=population)
        names = (("estimator", estimator, get_args(Estimator)), ("directions", directions, DIRECTIONS))
        for kind, name, known in (*names, ("optimizer", optimizer, STEP_RULES)):
            if name not in known:
                raise unknown_name(kind, name, known)
        least = {"forward": 2, "central": 3}[estimator]
        if population < least:
            raise InputError(f"population must be at least {least} with {estimator} differences; got {population}.")
        rules = (
            *(("mu", mu, 0 < mu < 1, "in (0, 1)"), ("lr", lr, lr > 0, "above 0")),
            *(("guided", guided, 0 <= guided < 1, "in [0, 1)"), ("memory", memory, memory >= 1, "at least 1")),
        )
        for option, value, holds, rule in (*rules, ("momentum", momentum, 0 <= momentum < 1, "in [0, 1)")):
            if not holds:
                raise InputError(f"{option} must be {rule}; got {value}.")
        self.estimator, self.lr, self.momentum, self.mu, self.retraction = estimator, lr, momentum, mu, retraction
        self._directions, self._step = DIRECTIONS[directions], STEP_RULES[optimizer]
        self.guided, self.memory = guided, memory
        self._past = torch.zeros(memory if guided else 0, self.d)
        self._regularizer: Regularizer | None = None
        self._z, self._xi, self._moments, self._count = self.start, torch.empty(0, self.d), zero_moments(self.d), 0

    @property
    def n_prior(self) -> int:
        return 0  # probes surround the start

    @property
    def step_size(self) -> float:
        return self.mu

    def use_regularizer(self, regularizer: Regularizer) -> None:
        self._regularizer = regularizer

    def _sample(self) -> Tensor:
        central = self.estimator == "central"
        with_base = not central or self._first_id == 0
        self._xi = self._directions((self.population - with_base) // (1 + central), self.d, self.rng)
        self._xi = towards_past(self._xi, self._past, self.guided, self.rng)
        probes = [rotate(self._z, self._xi, step) for step in ((self.mu, -self.mu) if central else (self.mu,))]
        return torch.cat([self._z[None], *probes] if with_base else probes)

    def _update(self, z: Tensor, scores: Tensor) -> None:
        if self.estimator == "forward":
            gradient = forward_difference(self._xi, scores[1:], scores[0], self.mu)
        else:
            plus, minus = scores[-2 * len(self._xi) :].chunk(2)
            gradient = central_difference(self._xi, plus, minus, self.mu)
        if bool(gradient.isnan().any()):  # no pair is complete
            return
        if self._regularizer is not None:
            gradient = gradient + slope_of(self._regularizer, self._z)
        if self.guided:
            self._past = torch.cat([self._past[1:], gradient[None]])
        self._count += 1
        self._z = self._z + self._step(gradient, self._moments, self._count, self.lr, self.momentum)
        self._z = self.retract(self._z) if self.retraction else self._z
