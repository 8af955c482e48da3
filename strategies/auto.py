"""The default strategy, which chooses another one by dimensions, budget, noise and what the generator can do."""

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.snes import SNES
from zo_dno.strategies.surrogate import Surrogate
from zo_dno.strategy import Problem

FEW_DIMENSIONS = 48  # measured between 10 and 64 (docs/strategies.md)
FEW_QUERIES = 512  # up to which a population of 8 is better where widths are learnt


def auto(problem: Problem, *, population: int = 0) -> PopulationStrategy:
    """Choose a strategy by dimensions, budget and noise; docs/strategies.md has the measurements.

    Args:
        problem: Search problem.
        population: Candidates per `ask`; 0 chooses a number.
    Returns:
        The chosen strategy; its `reason` says what was chosen, and why.
    """
    d, queries = problem.d, problem.horizon
    many = d >= FEW_DIMENSIONS
    small = problem.surrogate or (not problem.noisy and (many or queries <= FEW_QUERIES))
    size = population or max(4, min(8 if small else 16, queries // 4))
    chosen: PopulationStrategy
    if problem.surrogate:
        chosen = Surrogate(problem, population=size, first=min(16, max(2, queries // 2)))
        name, why = "surrogate", "the pipeline has gradients, and climbing a model of the reward needs few queries"
    elif problem.noisy:
        chosen = SNES(problem, population=size)
        name, why = "snes", "the reward is noisy, and this narrows by itself, so that a lucky score does not lead far"
    elif many:
        chosen = NormalES(problem, population=size)
        name = "normal_es"
        why = f"in {d} dimensions {queries} queries can find a direction, but hardly any widths"
    else:
        chosen = SNES(problem, population=size)
        name = "snes"
        why = f"with {d} dimensions, fewer than {FEW_DIMENSIONS}, its widths adapt within {queries} queries"
    turning = ", which turns often" if name == "normal_es" else ""
    chosen.reason = f"{name} with a population of {size}{turning}: {why}"
    return chosen
