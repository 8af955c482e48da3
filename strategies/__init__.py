"""The strategies by name; listing them imports none of them."""

if not __name__.startswith("zo_dno."):  # a second copy of the classes would break isinstance
    raise ImportError(f"Import the strategies as zo_dno.strategies, not as {__name__!r}.")

STRATEGIES: dict[str, str] = {
    "random_search": "zo_dno.strategies.random_search:RandomSearch",
    "zo_sgd": "zo_dno.strategies.zo_sgd:ZOSGD",
    "hill_climb": "zo_dno.strategies.hill_climb:HillClimb",
    "cmaes": "zo_dno.strategies.cmaes:CMAES",
    "snes": "zo_dno.strategies.snes:SNES",
    "dno": "zo_dno.strategies.dno:DNO",
    "hybrid1": "zo_dno.strategies.hybrid:Hybrid1",
    "hybrid2": "zo_dno.strategies.hybrid:Hybrid2",
    "nevergrad": "zo_dno.strategies.nevergrad:Nevergrad",
}
DEFAULT_STRATEGY = "snes"  # docs/strategies.md has the measurements behind the choice
