"""Playing a strategy against a reward, and the rewards that the tests use."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from zo_dno.rng import stream
from zo_dno.strategies import STRATEGIES
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategy import Problem
from zo_dno.testing.search import play as play
from zo_dno.testing.search import same_candidates as same_candidates
from zo_dno.testing.search import shifted_sphere as shifted_sphere
from zo_dno.testing.search import with_model

Reward = Callable[[Tensor], Tensor]
OF_FRONTS = {"parego", "nsga2"}  # tests/strategies/test_fronts.py holds them to the same laws
OF_SETS = {"robot", "niching", "cma_me"}  # tests/strategies/test_diverse.py and test_cma_me.py these
NAMES = sorted(set(STRATEGIES) - OF_FRONTS - OF_SETS)
WHITE_BOX = {
    "dno",
    "fast_direct",
    "hybrid1",
    "hybrid2",
    "surrogate",
}  # what they climb is their model's; their claims are in files of their own


BRIEF_FIT = {"_FIT_STEPS": 4, "_POINTS": 100}  # TuRBO's model is poor then, which no law of strategies depends on


BRIEF_OPTIONS: dict[str, dict[str, Any]] = {"surrogate": {"renders": 3}}
"""Options with which a strategy takes less time, and which no law of strategies depends on."""


def fit_briefly(patch: pytest.MonkeyPatch) -> None:
    """Let TuRBO take a tenth of its time."""
    for name, value in BRIEF_FIT.items():
        patch.setattr(f"zo_dno.strategies.turbo.{name}", value)


def load(name: str) -> type[PopulationStrategy]:
    """Import the class of a table entry."""
    module, _, cls = STRATEGIES[name].partition(":")
    loaded: type[PopulationStrategy] = getattr(importlib.import_module(module), cls)
    return loaded


def make(name: str, d: int = 12, seed: int = 0, horizon: int = 60, population: int = 6, **options: Any) -> Any:
    """Build a table entry small."""
    given = {key: options.pop(key) for key in ("sizes", "init") if key in options}
    return with_model(load(name)(Problem(d, horizon, seed, **given), population=population, **options))


def best(strategy: Any, reward: Reward, queries: int) -> float:
    """Return the best score among exactly the first `queries` candidates."""
    seen: list[Tensor] = []
    while sum(map(len, seen)) < queries:
        candidates = strategy.ask()
        seen.append(reward(candidates.z))
        strategy.tell(candidates, seen[-1])
    return float(torch.cat(seen)[:queries].max())


def assert_beats_best_of_n(name: str, queries: int, population: int = 8) -> None:
    """In all of 6 seeds; a strategy that is only as good would do that in 1.6 % of all cases."""
    for seed in range(6):
        found, drawn = (
            best(make(one, d=16, seed=seed, horizon=queries, population=population), shifted_sphere, queries)
            for one in (name, "random_search")
        )
        assert found > drawn


def toy_image_reward(d: int, seed: int) -> Reward:
    """A stand-in for a reward of an image: half of z matters, unevenly, and the surface is rugged.

    A quarter of the directions enters through a saturating sum with weights from 10 : 1 and through products of
    neighbours; another quarter through cosines that a rotation by about 0.4 forgets and that make up most of the
    variance among prior draws. Only the direction of z counts, so leaving the shell gains nothing.
    """
    rng, k = stream(seed, "toy"), d // 4
    basis, _ = torch.linalg.qr(torch.randn(d, 2 * k, generator=rng))
    weights = torch.linspace(2, 0.2, k)
    phases = 2 * math.pi * torch.rand(k, generator=rng)

    def reward(z: Tensor) -> Tensor:
        u, v = (z * (math.sqrt(d) / z.norm(dim=1, keepdim=True)) @ basis).chunk(2, dim=1)
        smooth = (weights * u.tanh() + 0.5 * u * u.roll(1, 1)).sum(1)
        return (smooth + 2 * (4 * v + phases).cos().sum(1)) / math.sqrt(k)

    return reward
