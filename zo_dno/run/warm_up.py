"""The warm-up: scales of a combination's terms, measured on prior draws before the search."""

import logging
from collections.abc import Collection, Iterable, Sequence
from statistics import fmean, stdev

from zo_dno.errors import RunError
from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.combination.scales import Scale
from zo_dno.results.verdict import why_no_scales
from zo_dno.run.manifest import WARMED_UP
from zo_dno.run.open_run import OpenRun
from zo_dno.run.searches import prior_draws
from zo_dno.storage.ledger import WARM_UP, QueryRow

log = logging.getLogger(__name__)


def warm_up(run: OpenRun) -> None:
    """Measure the scales that a combination lacks on prior draws of their own; from then on they are fixed.

    Raises:
        RunError: The warm-up was cut short, or shows no scale.
    """
    oracle = run.oracle
    unscaled = oracle.reward.unscaled if isinstance(oracle, CombinedOracle) else ()
    if not isinstance(oracle, CombinedOracle) or not unscaled:
        return
    n = oracle.reward.warm_up
    if not run.ledger.get(
        WARMED_UP
    ):  # its last response is no end: a run that was stopped then has not told the scores
        search = prior_draws(run, WARM_UP, n)
        search.run()
        if search.drift.found:
            run.manifest.note_drift(search.drift.found)
        if search.counts.queries < n or search.status in ("interrupted", "paused"):
            raise RunError(why_no_scales(search, n, run.path, run.spec.options.max_cost))
        run.ledger.set({WARMED_UP: True})
    measured = measured_scales(run.ledger.queries(WARM_UP), unscaled, divide=oracle.reward.standardised)
    oracle.scales = {**oracle.scales, **measured}


def measured_scales(rows: Iterable[QueryRow], terms: Iterable[str], *, divide: Collection[str]) -> dict[str, Scale]:
    """Measure the scales of terms on the rows of a warm-up.

    Args:
        rows: Rows of the warm-up.
        terms: Names of the terms to measure.
        divide: Names of the terms that are standardised. Any other term, which only a threshold uses, keeps its own
            unit if its value never changes.
    Raises:
        RunError: A term has too few scores, or is standardised and its value never changes.
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
                    f"term {name!r} was {scale.mean:g} in all draws of the warm-up: no scale. {_remedy(name)}"
                )
            log.warning("term %s was %g in all draws of the warm-up, so it counts in its own unit", name, scale.mean)
            scales[name] = Scale(scale.mean)
    return scales


def _measured(name: str, values: Sequence[float], rows: Sequence[QueryRow]) -> Scale:
    if len(values) < 2:
        reason = next((row.error for row in rows if row.error), "no reason given")
        raise RunError(
            f"term {name!r} got {len(values)} scores in the warm-up of {len(rows)} draws, too few for a scale: "
            f"{reason}. {_remedy(name)}"
        )
    return Scale(fmean(values), stdev(values))


def _remedy(name: str) -> str:
    return f"Give its scale with the reward's option scales: {{{name!r}: [mean, standard deviation]}}."
