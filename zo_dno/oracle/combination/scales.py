"""Making values of different units comparable: by their mean and standard deviation over prior draws."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zo_dno.errors import InputError, unknown_name


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a part's values lie, in its unit; the default leaves them as they are."""

    mean: float = 0.0
    deviation: float = 1.0

    def __call__(self, value: float) -> float:
        """Return how many standard deviations a value lies above the mean."""
        return (value - self.mean) / self.deviation


def given_scales(scales: Any, terms: Collection[str]) -> dict[str, Scale]:
    """Read scales: part -> [mean, standard deviation].

    Raises:
        InputError: there is no such part, or the two numbers are not there.
    """
    if not isinstance(scales, Mapping):
        raise InputError(f"scales must be part -> [mean, standard deviation]; got {scales!r}.")
    for name, scale in scales.items():
        if name not in terms:
            raise unknown_name("scales of part", str(name), terms)
        if not _is_scale(scale):
            raise InputError(f"scales of {name!r} must be [mean, standard deviation above 0]; got {scale!r}.")
    return {name: Scale(float(mean), float(deviation)) for name, (mean, deviation) in scales.items()}


def _is_scale(scale: Any) -> bool:
    try:
        mean, deviation = map(float, scale)
    except (TypeError, ValueError):
        return False
    return math.isfinite(mean) and 0 < deviation < math.inf
