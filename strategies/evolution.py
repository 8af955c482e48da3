"""The choice of an evolution strategy by dimensions, budget and noise."""

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.snes import SNES
from zo_dno.strategy import Problem

FEW_DIMENSIONS = 48  # measured between 10 and 64 (docs/strategies.md)
FEW_QUERIES = 512  # up to which a population of 8 is better where widths are learnt


def evolution(problem: Problem, population: int = 0) -> PopulationStrategy:
    """Choose an evolution strategy by dimensions, budget and noise; docs/strategies.md has the measurements.

    Args:
        problem: Search problem.
        population: Candidates per `ask`; 0 chooses a number.
    Returns:
        The chosen strategy; its `reason` says what was chosen, and why.
    """
    many = problem.d >= FEW_DIMENSIONS
    small = not problem.noisy and (many or problem.horizon <= FEW_QUERIES)
    size = population or most_useful(problem.horizon, small=small)
    chosen: PopulationStrategy
    if problem.noisy:
        chosen = SNES(problem, population=size)
        name, why = "snes", "the reward is noisy, and this narrows by itself, so that a lucky score does not lead far"
    elif many:
        chosen = NormalES(problem, population=size)
        name = "normal_es"
        why = f"in {problem.d} dimensions {problem.horizon} queries can find a direction, but hardly any widths"
    else:
        chosen = SNES(problem, population=size)
        name = "snes"
        why = (
            f"with {problem.d} dimensions, fewer than {FEW_DIMENSIONS}, its widths adapt within {problem.horizon} "
            "queries"
        )
    turning = ", which turns often" if name == "normal_es" else ""
    chosen.reason = f"{name} with a population of {size}{turning}: {why}"
    return chosen


def most_useful(queries: int, *, small: bool) -> int:
    """Return the population for so many queries: 8 or 16, and at most a quarter of them, but at least 4."""
    return max(4, min(8 if small else 16, queries // 4))
