"""One score of several rewards: their weighted sum, product or minimum, or one of them above thresholds of others."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.term import Term, terms_of


@dataclass(frozen=True)
class WeightedSum(Combination):
    """Sum of the terms' values, each times its weight and in standard deviations above its mean over prior draws.

    Args:
        standardise: Whether values are standardised; False sums them in their own units.
    """

    name = "weighted_sum"
    weighted = True
    standardise: bool = field(default=True, kw_only=True)

    def combine(self, values: Mapping[str, float]) -> float:
        return math.fsum(term.weight * values[term.name] for term in self.optimised)


@dataclass(frozen=True)
class Product(Combination):
    """Product of the terms' values as they are; the score is missing where one is negative."""

    name = "product"

    def combine(self, values: Mapping[str, float]) -> float:
        for name, value in values.items():
            if value < 0:
                raise ValueError(f"a product needs values of at least 0; {name} is {value:g}")
        return math.prod(values.values())


@dataclass(frozen=True)
class Min(Combination):
    """The lowest of the terms' values, in standard deviations above their means over prior draws.

    Args:
        standardise: Whether values are standardised; False is for terms of one unit.
    """

    name = "min"
    standardise: bool = field(default=True, kw_only=True)

    def combine(self, values: Mapping[str, float]) -> float:
        return min(values.values())


@dataclass(frozen=True)
class Constrained(Combination):
    """The value of one reward as it is; only images that meet all thresholds of `require` can win.

    Args:
        reward: Reward that counts: a name, a Reward, a function, or details as for a term; it gives name and unit.
        parts: Further rewards that thresholds may name, where their own name is ambiguous.
    """

    name = "constrained"
    reward: Any
    parts: Any = field(default_factory=dict, kw_only=True)

    @property
    def settings(self) -> dict[str, Any]:
        counts, *others = self.terms
        return super().settings | {"reward": counts.alone, "parts": {one.name: one.under_its_name for one in others}}

    def bound(self, make: Callable[[Term], Term]) -> Combination:
        made = super().bound(make)
        made._set(name=made.terms[0].name, unit=made.terms[0].reward.unit, range=made.terms[0].reward.range)
        return made

    def combine(self, values: Mapping[str, float]) -> float:
        (value,) = values.values()
        return value

    def _named(self) -> tuple[Term, ...]:
        others = tuple(replace(term, weight=0.0) for term in terms_of(self.parts))
        return terms_of([self.reward, *others])
