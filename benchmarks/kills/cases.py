"""What is killed: command lines of every kind of run, and how the whole of what each leaves is compared."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.kills.toys import PRICE
from zo_dno.storage.ledger import Ledger

STRATEGIES = ("random_search", "zo_sgd", "hill_climb", "cmaes", "snes", "nevergrad")
PICTURES = ("first.png", "best.png", "strip.png", "progress.png")
QUERIES = 40
_TIMED = ("seconds", "strategy_seconds", "folder", "cost", "dollars")  # columns that differ from run to run
_PROMPTS = ("a toy", "a ball", "a kite")


@dataclass(frozen=True)
class Case:
    """A kind of run.

    Attributes:
        options: Changes to the config of a plain priced run.
        words: Function that returns further words of its command line, given its folder.
        share: Weight of this case among all when trials are drawn; quick cases have 1.
        exact: Whether a resumed run ends as one that was not stopped; a cap on money cuts it by what may be lost.
        priced: Whether responses are paid for, so that none that was recorded is requested again.
        in_flight: Number of calls that one kill may lose.
        distributed: Whether other processes work for it.
        rated: Whether a robot on its page rates.
        strategies: Names of the strategies that can do it.
        command: Command that starts it: `run`, or `compare`, which also resumes.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    words: Callable[[Path], list[str]] = lambda folder: []
    share: float = 1.0
    exact: bool = True
    priced: bool = True
    in_flight: int = 3
    distributed: bool = False
    rated: bool = False
    strategies: tuple[str, ...] = STRATEGIES
    command: str = "run"


def _prompts(folder: Path) -> list[str]:
    (folder / "prompts.txt").write_text("\n".join(_PROMPTS), encoding="utf-8")
    return ["--prompts", str(folder / "prompts.txt"), "--at-once", "2"]


_FREE, _PAID = "benchmarks.kills.toys:Free", "benchmarks.kills.toys:Paid"
_SCENES = {
    "model": "scenes-64",
    "prompt": "sea at dusk",
    "steps": 2,
    "queries": 18,
    "strategy_options": {"population": 6},
}
CASES = {
    "priced": Case(),
    "free": Case({"reward": _FREE}, priced=False),
    "capped": Case({"max_cost": PRICE * QUERIES * 0.75}, exact=False),
    "lagging": Case({"lag": 1}, strategies=("random_search", "zo_sgd", "hill_climb", "snes")),
    "pre-selected": Case({"screen": 4}),
    "repeated": Case({"repeats": 12}),
    "combined": Case(
        {"reward": "weighted_sum", "reward_options": {"warm_up": 6, "parts": {"judge": {"reward": _PAID}}}}
    ),
    "with requirements": Case({"require": ["contrast >= 0.16"], "held_out": ["contrast"]}),
    "with target and baseline": Case({"target": 9.9, "baseline": "equal", "queries": 32}),
    "many prompts": Case({"queries": 16}, _prompts, share=0.6),
    "draft": Case(_SCENES, lambda folder: ["--draft", "1"], share=0.15),
    "workers": Case({"workers": 2, "worker_cpus": 0}, share=0.12, distributed=True),
    "generators": Case({"generators": 2, "generator_cpus": 0}, share=0.12, distributed=True),
    "rated by a robot": Case(
        {"reward": "human", "queries": 24, "strategy_options": {"population": 6}}, share=0.15, priced=False, rated=True
    ),
    "comparison": Case({"queries": 16}, share=0.12, distributed=True, command="compare"),
}


def words_of(name: str, strategy: str, folder: Path, url: str, port: int) -> list[str]:
    """Write the config of a case into a folder; returns the words of the command that starts it.

    Args:
        name: Name of the case.
        strategy: Name of the strategy.
        folder: Folder of the trial, in which the run has the folder `out`.
        url: Address of the counting server.
        port: Port of the rating page.
    """
    case = CASES[name]
    config = {
        "model": "benchmarks.kills.toys:drawn",
        "prompt": _PROMPTS[0],
        "reward": _PAID,
        "strategy": strategy,
        "queries": QUERIES,
        "seed": 4,
        "threads": 1,
        "strategy_options": {"population": 8},
        **case.options,
    }
    if config["reward"] in (_FREE, _PAID):
        config["reward_options"] = {"url": url}
    elif config["reward"] == "weighted_sum":
        own = config["reward_options"]
        parts = {part: {**how, "options": {"url": url}} for part, how in own["parts"].items()}
        config["reward_options"] = {**own, "parts": {**parts, "contrast": 0.5}}
    else:
        config["reward_options"] = {"port": port, "patience": 0.05}
    if case.command == "compare":
        return _compare(config, folder)
    if name == "many prompts":
        del config["prompt"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return ["run", str(folder / "config.yaml"), "--out", str(folder / "out"), *case.words(folder)]


def _compare(config: dict[str, Any], folder: Path) -> list[str]:
    strategy = {"strategy": config["strategy"], "strategy_options": config["strategy_options"], "name": "own"}
    reward = {"reward": config["reward"], "reward_options": config["reward_options"]}
    plan = {
        "strategies": [strategy],
        "prompts": [config["prompt"]],
        "rewards": [reward],
        "seeds": 2,
        **{name: config[name] for name in ("model", "queries", "threads")},
    }
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    return ["compare", str(folder / "plan.yaml"), "--out", str(folder / "out"), "--at-once", "2"]


def has_begun(out: Path) -> bool:
    """Return whether there is something in a run's folder to resume."""
    return any((out / name).exists() for name in ("config.yaml", "draft.yaml"))


def runs_in(out: Path) -> list[Path]:
    """Return the folders of all runs that a command made, in order."""
    return sorted(path.parent for path in out.rglob("ledger.db"))


def contents(out: Path) -> dict[str, Any]:
    """Return everything that must not depend on when a command was stopped, by name."""
    found: dict[str, Any] = {"runs": [str(run.relative_to(out)) for run in runs_in(out)]}
    for run in runs_in(out):
        for name in ("result", "ledger", *PICTURES):
            found[f"{run.relative_to(out)}/{name}"] = _content(run, name)
    for path in out.glob("*.parquet"):
        import pandas as pd

        table = pd.read_parquet(path)
        found[path.name] = table.drop(columns=[name for name in _TIMED if name in table]).to_json()
    return found


def _content(run: Path, name: str) -> Any:
    if name == "result":
        path = run / "result.json"
        result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {key: value for key, value in result.items() if key not in ("seconds", "cost")}
    if name == "ledger":
        ledger = Ledger(run / "ledger.db", read_only=True)
        rows = [replace(row, seconds=0, attempts=0, cost=0) for row in ledger.all_queries()]
        populations = [(row.stage, row.number, row.first_id, row.size, row.noise) for row in ledger.populations()]
        return {
            "query": {f"{row.stage} {row.id} {row.oracle} {row.repeat} {row.rater!r}": row for row in rows},
            "population": {f"{population[0]} {population[1]}": population for population in populations},
            "file": {artifact.path: artifact for artifact in ledger.artifacts()},
        }
    return (run / name).read_bytes() if (run / name).exists() else None
