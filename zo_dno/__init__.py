"""Black-box optimization of diffusion noise for any reward, kept plausibly Gaussian.

What is named here is imported when it is first used: torch, diffusers and Ray take seconds to load.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from zo_dno.version import __version__ as __version__

if os.name == "nt":
    raise ImportError("zo-dno needs Linux or macOS: it locks folders and sends signals as only these do. Use WSL.")
# Threads that spin while they wait for each other stop a run wherever other work shares their processors. OpenMP reads
# this when torch is loaded, so it has no effect on a process that has imported torch before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from zo_dno.call_policy import CallPolicy as CallPolicy
    from zo_dno.comparison.compare import Comparison as Comparison
    from zo_dno.comparison.compare import compare as compare
    from zo_dno.comparison.tuning import tune as tune
    from zo_dno.distributed.generator_actors import GeneratorPool as GeneratorPool
    from zo_dno.distributed.reward_actors import Takes as Takes
    from zo_dno.errors import InputError as InputError
    from zo_dno.errors import RunError as RunError
    from zo_dno.errors import ZoDnoError as ZoDnoError
    from zo_dno.generators.diffusers_generator import DiffusersGenerator as DiffusersGenerator
    from zo_dno.generators.function_generator import FunctionGenerator as FunctionGenerator
    from zo_dno.generators.onnx_generator import OnnxGenerator as OnnxGenerator
    from zo_dno.generators.pixels import NoImageError as NoImageError
    from zo_dno.results.load import load as load
    from zo_dno.results.result import Result as Result
    from zo_dno.reward import Reward as Reward
    from zo_dno.run.cancellation import Stop as Stop
    from zo_dno.run.make_reward import make_reward as make_reward
    from zo_dno.run.optimize import optimize as optimize
    from zo_dno.run.optimize import resume as resume
    from zo_dno.run.options import Budget as Budget
    from zo_dno.run.options import Cluster as Cluster
    from zo_dno.run.options import Output as Output
    from zo_dno.search.progress import Step as Step
    from zo_dno.strategy import Problem as Problem
    from zo_dno.strategy import Strategy as Strategy
    from zo_dno.types import Score as Score
    from zo_dno.ui.rating_cell import RatingCell as RatingCell

_HOMES = {
    "Budget": "zo_dno.run.options",
    "CallPolicy": "zo_dno.call_policy",
    "Cluster": "zo_dno.run.options",
    "compare": "zo_dno.comparison.compare",
    "Comparison": "zo_dno.comparison.compare",
    "DiffusersGenerator": "zo_dno.generators.diffusers_generator",
    "FunctionGenerator": "zo_dno.generators.function_generator",
    "GeneratorPool": "zo_dno.distributed.generator_actors",
    "InputError": "zo_dno.errors",
    "load": "zo_dno.results.load",
    "make_reward": "zo_dno.run.make_reward",
    "NoImageError": "zo_dno.generators.pixels",
    "OnnxGenerator": "zo_dno.generators.onnx_generator",
    "optimize": "zo_dno.run.optimize",
    "Output": "zo_dno.run.options",
    "Problem": "zo_dno.strategy",
    "RatingCell": "zo_dno.ui.rating_cell",
    "Result": "zo_dno.results.result",
    "resume": "zo_dno.run.optimize",
    "Reward": "zo_dno.reward",
    "RunError": "zo_dno.errors",
    "Score": "zo_dno.types",
    "Step": "zo_dno.search.progress",
    "Stop": "zo_dno.run.cancellation",
    "Strategy": "zo_dno.strategy",
    "Takes": "zo_dno.distributed.reward_actors",
    "tune": "zo_dno.comparison.tuning",
    "ZoDnoError": "zo_dno.errors",
}
_RENAMED = {"Asking": "CallPolicy"}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    name = _RENAMED.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
