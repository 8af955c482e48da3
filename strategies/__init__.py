"""The strategies by name; listing them imports none of them."""

if not __name__.startswith("zo_dno."):  # a second copy of the classes would break isinstance
    raise ImportError(f"Import the strategies as zo_dno.strategies, not as {__name__!r}.")

STRATEGIES: dict[str, str] = {
    "auto": "zo_dno.strategies.auto:auto",
    "random_search": "zo_dno.strategies.random_search:RandomSearch",
    "zo_sgd": "zo_dno.strategies.zo_sgd:ZOSGD",
    "hill_climb": "zo_dno.strategies.hill_climb:HillClimb",
    "annealing": "zo_dno.strategies.annealing:Annealing",
    "zero_order": "zo_dno.strategies.zero_order:ZeroOrder",
    "trs": "zo_dno.strategies.trs:TRS",
    "genetic": "zo_dno.strategies.genetic:Genetic",
    "cosyne": "zo_dno.strategies.cosyne:CoSyNE",
    "path_integral": "zo_dno.strategies.path_integral:PathIntegral",
    "cross_entropy": "zo_dno.strategies.cross_entropy:CrossEntropy",
    "normal_es": "zo_dno.strategies.normal_es:NormalES",
    "snes": "zo_dno.strategies.snes:SNES",
    "openai_es": "zo_dno.strategies.openai_es:OpenAIES",
    "pgpe": "zo_dno.strategies.pgpe:PGPE",
    "cmaes": "zo_dno.strategies.cmaes:CMAES",
    "surrogate": "zo_dno.strategies.surrogate:Surrogate",
    "parego": "zo_dno.strategies.parego:ParEGO",
    "nsga2": "zo_dno.strategies.nsga2:NSGA2",
    "robot": "zo_dno.strategies.robot:Robot",
    "cma_me": "zo_dno.strategies.cma_me:CMAME",
    "niching": "zo_dno.strategies.niching:Niching",
    "scipy": "zo_dno.strategies.scipy_optimizers:SciPy",
    "fast_direct": "zo_dno.strategies.fast_direct:FastDirect",
    "turbo": "zo_dno.strategies.turbo:TuRBO",
    "nevergrad": "zo_dno.strategies.nevergrad:Nevergrad",
    "dno": "zo_dno.strategies.dno:DNO",
    "hybrid1": "zo_dno.strategies.hybrid:Hybrid1",
    "hybrid2": "zo_dno.strategies.hybrid:Hybrid2",
}
DEFAULT_STRATEGY = "auto"  # docs/strategies.md has the measurements behind the choice
