"""Scales of terms: mean and standard deviation, which make values of different units comparable."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zo_dno.errors import InputError, unknown_name


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and standard deviation of a term's values, in its unit; the default leaves values unchanged."""

    mean: float = 0.0
    deviation: float = 1.0

    def __call__(self, value: float) -> float:
        """Return by how many standard deviations a value is above the mean."""
        return (value - self.mean) / self.deviation


def given_scales(scales: Any, terms: Collection[str]) -> dict[str, Scale]:
    """Parse the option `scales`: term -> [mean, standard deviation].

    Raises:
        InputError: A term is unknown, or its scale is not two numbers.
    """
    if not isinstance(scales, Mapping):
        raise InputError(f"scales must be term -> [mean, standard deviation]; got {scales!r}.")
    for name, scale in scales.items():
        if name not in terms:
            raise unknown_name("scales of term", str(name), terms)
        if not _is_scale(scale):
            raise InputError(f"scales of {name!r} must be [mean, standard deviation above 0]; got {scale!r}.")
    return {name: Scale(float(mean), float(deviation)) for name, (mean, deviation) in scales.items()}


def _is_scale(scale: Any) -> bool:
    try:
        mean, deviation = map(float, scale)
    except (TypeError, ValueError):
        return False
    return math.isfinite(mean) and 0 < deviation < math.inf
