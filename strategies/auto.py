"""The default strategy, which chooses another one by dimensions, budget, noise and what the generator can do."""

from importlib.util import find_spec

from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.cma_me import CMAME
from zo_dno.strategies.evolution import evolution, most_useful
from zo_dno.strategies.niching import Niching
from zo_dno.strategies.nsga2 import NSGA2
from zo_dno.strategies.parego import ParEGO
from zo_dno.strategies.robot import Robot
from zo_dno.strategies.surrogate import Surrogate
from zo_dno.strategy import Problem


def auto(problem: Problem, *, population: int = 0) -> PopulationStrategy:
    """Choose a surrogate where the problem asks for one, else plain evolution; for several images, one that keeps them.

    Args:
        problem: Search problem.
        population: Candidates per `ask`; 0 chooses a number.
    Returns:
        The chosen strategy; its `reason` says what was chosen, and why.
    """
    if problem.rewards > 1:
        return _of_fronts(problem, population)
    if problem.diverse:
        return _of_diverse_sets(problem, population)
    if problem.measures:
        return _of_elites(problem, population)
    if not problem.surrogate:
        return evolution(problem, population)
    size = population or most_useful(problem.horizon, small=True)
    chosen = Surrogate(problem, population=size)
    why = "queries cost something, and a search of a model of the reward needs few of them"
    chosen.reason = f"surrogate with a population of {size}: {why}"
    return chosen


def _of_fronts(problem: Problem, population: int) -> PopulationStrategy:
    """Choose a strategy for the front of several rewards."""
    size = population or most_useful(problem.horizon, small=True)
    if problem.surrogate:
        chosen: PopulationStrategy = ParEGO(problem, population=size)
        chosen.reason = f"parego with a population of {size}: models of the rewards find a front in few queries"
        return chosen
    if not problem.lag and find_spec("pymoo") is not None:
        size = population or most_useful(problem.horizon, small=False)
        chosen = NSGA2(problem, population=size)
        chosen.reason = f"nsga2 with a population of {size}: plain evolution keeps a front without a model of rewards"
        return chosen
    chosen = evolution(problem, population)
    missing = "" if problem.lag else ", and pymoo, which nsga2 needs, is not installed: pip install 'zo-dno[fronts]'"
    chosen.reason = f"{chosen.reason}; it climbs to the compromise alone{missing}"
    return chosen


def _of_diverse_sets(problem: Problem, population: int) -> PopulationStrategy:
    """Choose a strategy for a set of good images that differ."""
    if problem.surrogate:
        size = population or max(most_useful(problem.horizon, small=True), min(problem.diverse, 16))
        chosen: PopulationStrategy = Robot(problem, population=size)
        chosen.reason = f"robot with a population of {size}: a model of the reward leads every member of the set"
        return chosen
    if problem.lag:
        chosen = evolution(problem, population)
        chosen.reason = f"{chosen.reason}; with a lag it climbs to a single image"
        return chosen
    size = population or most_useful(problem.horizon, small=False)
    chosen = Niching(problem, population=size)
    chosen.reason = f"niching with a population of {size}: plain evolution breeds from every member of the set"
    return chosen


def _of_elites(problem: Problem, population: int) -> PopulationStrategy:
    """Choose a strategy for the best candidate of every cell of measures."""
    if not problem.lag and find_spec("ribs") is not None:
        size = population or most_useful(problem.horizon, small=False)
        chosen: PopulationStrategy = CMAME(problem, population=size)
        chosen.reason = f"cma_me with a population of {size}: it improves the best candidate of every cell"
        return chosen
    chosen = evolution(problem, population)
    missing = "" if problem.lag else ", and pyribs, which cma_me needs, is not installed: pip install 'zo-dno[diverse]'"
    chosen.reason = f"{chosen.reason}; it climbs to a single image{missing}"
    return chosen
