"""Making values of different units comparable: by their mean and standard deviation over prior draws."""

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from zo_dno.errors import InputError, RunError, unknown_name
from zo_dno.storage.ledger import QueryRow

log = logging.getLogger(__name__)


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


def measured_scales(rows: Iterable[QueryRow], terms: Iterable[str], *, divide: Collection[str]) -> dict[str, Scale]:
    """Measure the scales of parts on the rows of a warm-up.

    Args:
        rows: of the warm-up.
        terms: names of the terms to measure.
        divide: those of them that are standardised. Another one, of which only a threshold is asked, counts in its
            own unit where it was always the same.
    Raises:
        RunError: a part has too few scores, or one that is standardised had always the same.
    """
    rows = list(rows)
    values = {
        name: [row.components[name] for row in rows if row.components and name in row.components] for name in terms
    }
    scales = {name: _measured(name, values[name], rows) for name in values}
    for name, scale in scales.items():
        if scale.deviation == 0:
            if name in divide:
                raise RunError(
                    f"part {name!r} was {scale.mean:g} in all draws of the warm-up: no scale. {_remedy(name)}"
                )
            log.warning("part %s was %g in all draws of the warm-up, so it counts in its own unit", name, scale.mean)
            scales[name] = Scale(scale.mean)
    return scales


def _measured(name: str, values: Sequence[float], rows: Sequence[QueryRow]) -> Scale:
    if len(values) < 2:
        reason = next((row.error for row in rows if row.error), "no reason given")
        raise RunError(
            f"part {name!r} got {len(values)} scores in the warm-up of {len(rows)} draws, too few for a scale: "
            f"{reason}. {_remedy(name)}"
        )
    return Scale(fmean(values), stdev(values))


def _remedy(name: str) -> str:
    return f"Give its scale with the reward's option scales: {{{name!r}: [mean, standard deviation]}}."


def _is_scale(scale: Any) -> bool:
    try:
        mean, deviation = map(float, scale)
    except (TypeError, ValueError):
        return False
    return math.isfinite(mean) and 0 < deviation < math.inf
