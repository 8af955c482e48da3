"""The details behind the scores of a population, for strategies that learn from more than scores."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.oracle import Oracle
from zo_dno.search.archive import Archive
from zo_dno.search.objective import Objective
from zo_dno.search.population import Population, rewards_of
from zo_dno.storage.ledger import QueryRow
from zo_dno.strategy import LearnsFromChoices, LearnsFromMeasured, Measured, Strategy
from zo_dno.types import Choice
from zo_dno.types.diversity import UsesDistance, UsesMeasures


def give_diversity(strategy: Strategy, archive: Archive) -> None:
    """Give a strategy the distance of images of a diverse set, or the ranges of measures, where it takes them."""
    if archive.diverse is not None and isinstance(strategy, UsesDistance):
        strategy.use_distance(archive.diverse.distance, archive.diverse.least)
    if archive.elites is not None and isinstance(strategy, UsesMeasures):
        strategy.use_measures(archive.elites.grid.ranges, archive.elites.grid.cells)


def tell_details(
    strategy: Strategy,
    oracle: Oracle | CombinedOracle,
    population: Population,
    choices: Sequence[Choice],
    objective: Objective,
    archive: Archive,
) -> None:
    """Tell a strategy what it learns from beside the scores of a complete population, before it is told these.

    Args:
        strategy: Strategy to tell.
        oracle: Oracle that scored.
        population: Complete population.
        choices: Choices behind the scores.
        objective: Objective of the search, which says whether only plausible noise can win.
        archive: Archive of the search, which took the population already.
    """
    if isinstance(strategy, LearnsFromChoices):
        strategy.tell_choices(choices)
    if isinstance(strategy, LearnsFromMeasured):
        measured = _measured(oracle, population, constrained=objective.constrained)
        if archive.diverse is not None:
            measured = replace(measured, members=tuple(found.id for found in archive.diverse.members))
        if archive.elites is not None:
            names = archive.elites.grid.names
            rows = [population.rows[id_] for id_ in population.candidates.ids]
            able = [
                row.value is not None
                and (archive.elites.tells_all or row.is_feasible(constrained=objective.constrained))
                for row in rows
            ]
            values = [_values(row, names, missing=not one) for row, one in zip(rows, able, strict=True)]
            measured = replace(measured, measures=torch.tensor(values, dtype=torch.float64))
        strategy.tell_measured(measured)


def _measured(oracle: Oracle | CombinedOracle, population: Population, *, constrained: bool) -> Measured:
    """Return the rewards of a complete population, their errors, and by how much they meet what is required."""
    reward = oracle.reward
    rows = [population.rows[id_] for id_ in population.candidates.ids]
    thresholds = reward.thresholds if isinstance(reward, Combination) else ()
    margins = torch.full((len(rows), len(thresholds)), math.nan, dtype=torch.float64)
    for row, known in zip(rows, margins, strict=True):
        for place, threshold in enumerate(thresholds):
            if row.components and threshold.term in row.components:
                known[place] = threshold.margin(row.components[threshold.term])
    errors = torch.tensor([_error(row) for row in rows], dtype=torch.float64)
    rewards = rewards_of(rows)
    if not isinstance(oracle, CombinedOracle) or not oracle.reward.objectives:
        return Measured(rewards, errors, margins)
    names = oracle.reward.objectives
    values = [_values(row, names, missing=bool(rewards[place].isnan())) for place, row in enumerate(rows)]
    violations = [row.reward_violation + (row.noise_violation if constrained else 0.0) for row in rows]
    violations = [math.inf if row.perturbed else one for row, one in zip(rows, violations, strict=True)]
    reference = [oracle.reference.get(name, -math.inf) for name in names]
    of_front = [torch.tensor(one, dtype=torch.float64) for one in (values, violations, reference)]
    return Measured(rewards, errors, margins, of_front[0], of_front[1], of_front[2])


def _values(row: QueryRow, names: Sequence[str], *, missing: bool) -> list[float]:
    """Return the values of the rewards of a front; NaN where one, or the whole score, is missing."""
    known = row.components or {}
    return [math.nan if missing else known.get(name, math.nan) for name in names]


def _error(row: QueryRow) -> float:
    """Return the standard error of the mean of several raters, judges or samples; 0 where there are not several."""
    several = len(row.components or ())
    return row.spread / math.sqrt(several - 1) if row.spread and several > 1 else 0.0
