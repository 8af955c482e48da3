"""The default strategy, which chooses another one by dimensions, budget, noise and what the generator can do."""

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.evolution import evolution, most_useful
from zo_dno.strategies.surrogate import Surrogate
from zo_dno.strategy import Problem


def auto(problem: Problem, *, population: int = 0) -> PopulationStrategy:
    """Choose a surrogate where the problem asks for one, else an evolution strategy.

    Args:
        problem: Search problem.
        population: Candidates per `ask`; 0 chooses a number.
    Returns:
        The chosen strategy; its `reason` says what was chosen, and why.
    """
    if not problem.surrogate:
        return evolution(problem, population)
    size = population or most_useful(problem.horizon, small=True)
    chosen = Surrogate(problem, population=size, first=min(16, max(2, problem.horizon // 2)))
    why = "queries cost something, and a search of a model of the reward needs few of them"
    chosen.reason = f"surrogate with a population of {size}: {why}"
    return chosen
