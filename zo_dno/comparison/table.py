"""The tidy table of a comparison: a row for each run and budget."""

import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.comparison.several import Worth, with_common_offsets
from zo_dno.errors import InputError
from zo_dno.results.state import RunState
from zo_dno.run.model_options import SourceOptions
from zo_dno.run.several_rewards import FRONT
from zo_dno.search.diverse import fact_of_set
from zo_dno.storage.ledger import Ledger, QueryRow
from zo_dno.storage.run_folder import LEDGER, check_is_run

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "entry": "strategy with its space and options",
    "strategy": "name of the strategy",
    "space": "name of the search space",
    "reward": "name of the reward",
    "unit": "unit of the reward",
    "prompt": "prompt of the model",
    "seed": "seed of the run",
    "budget": "queries at which the row was read",
    "queries": "completed queries up to the budget, fewer where the run ended before",
    "failed": "completed queries without a score",
    "statistic": "what `best` is: best reward, hypervolume, diverse set or QD score",
    "best": "highest reward of a feasible candidate, hypervolume of a front, mean reward over the places of a diverse "
    "set, empty ones counting as the offset, or QD score; missing while no candidate is feasible",
    "first": "reward of candidate 0, or what a front, a set or cells with it alone are worth",
    "members": "members of the diverse set after the last whole population within the budget; missing without a set",
    "mean_reward": "mean reward of these members",
    "mean_distance": "mean distance of two of them",
    "prior_distance": "mean distance of two prior draws",
    "coverage": "share of the cells of measures with a feasible candidate; missing without measures",
    "qd_score": "sum of the rewards of the cells above the offset",
    "offset": "lowest of the reward, or where it has none, of the first 16 scores of all runs of the reward and "
    "prompt; of a diverse set without measures, always of these scores",
    "log_prob": "log P of the best's noise",
    "norm_ratio": "norm of the best's noise over sqrt(d)",
    "whiteness": "p-value of the whiteness test of the best's noise",
    "feasible": "whether the best's noise is plausible",
    "plausible": "share of the candidates whose noise is plausible",
    "nfe": "denoiser calls",
    "seconds": "time of rendering, scoring and searching, up to the end of the population that reaches the budget",
    "strategy_seconds": "time of the strategy's ask and tell, up to the same population",
    "cost": "largest possible amount of money spent",
    "over": "whether the run ended as planned; False if it was stopped or is not finished",
    "folder": "folder of the run",
}
"""Columns and their content. A run's last row also has `held_out NAME` and `held_out_first NAME`."""
_OF_SETS = ("members", "mean_reward", "mean_distance", "prior_distance", "coverage", "qd_score", "offset")
_MAY_LACK = ("best", "first", *_OF_SETS, "log_prob", "norm_ratio", "whiteness", "seconds", "strategy_seconds")
"""Columns that are NaN, not None, where they are missing."""


def rows_of_run(folder: Path, budgets: Sequence[int], *, entry: str = "", reward: str = "") -> list[dict[str, Any]]:
    """Read a run's rows: one for each budget that it reached, and one for its end.

    Args:
        folder: Folder of the run.
        budgets: Budgets in rising order.
        entry: Name of the entry, by default the strategy with its space.
        reward: Name of the reward, by default its own.
    Raises:
        InputError: The folder is not a run's.
    """
    check_is_run(folder)
    with closing(Ledger(folder / LEDGER, read_only=True)) as ledger:
        config = ledger.get("config") or {}
        every = [row for row in ledger.queries("search") if row.completed]
        populations = ledger.populations()
        state = RunState.of(folder)
        kept = state.result.get("diverse")
        sets = {one.number: ledger.get(fact_of_set(one.number)) for one in populations} if kept else {}
    result = state.result
    if not every or ((config.get("reward") == FRONT or config.get("diverse") or config.get("measures")) and not result):
        return []  # offset and reference point of several answers are known once there is a result
    constrained = config.get("min_log_prob", "1%") is not None
    worth = Worth(result, every, {number: one for number, one in sets.items() if one}, constrained=constrained)
    space = str(config.get("space", "all"))
    of_run = {
        "entry": entry or (config["strategy"] if space == "all" else f"{config['strategy']}, {space}"),
        "strategy": config["strategy"],
        "space": space,
        "reward": reward or every[0].oracle,
        "unit": worth.unit,
        "prompt": every[0].prompt,
        "seed": int(config.get("seed", 0)),
        "statistic": worth.statistic,
        "first": worth.alone(every[0]),
        "over": state.ended,
        "folder": str(folder),
    }
    nfe = result["nfe"] / max(1, result["queries"]) if result else 0
    read = [budget for budget in budgets if budget < len(every)]
    read.append(next((budget for budget in budgets if budget >= len(every)), budgets[-1]))
    rows = []
    for budget in read:
        until = every[:budget]
        best = _best(until, constrained=constrained)
        number = until[-1].population
        spent = next((one for one in reversed(populations) if one.number <= number and one.seconds), None)
        rows.append(
            of_run
            | {
                "budget": budget,
                "queries": len(until),
                "failed": sum(row.value is None for row in until),
                **worth.columns(until),
                "log_prob": None if best is None else best.log_prob,
                "norm_ratio": None if best is None else best.norm_ratio,
                "whiteness": None if best is None else best.whiteness,
                "feasible": None if best is None else best.plausible,
                "plausible": sum(row.plausible for row in until) / len(until),
                "nfe": round(nfe * len(until)),
                "seconds": spent and spent.generate_seconds + spent.score_seconds + spent.strategy_seconds,
                "strategy_seconds": spent and spent.strategy_seconds,
                "cost": sum(row.cost for row in until),
            }
        )
    for name, both in (result.get("held_out") or {}).items():
        rows[-1] |= {f"held_out {name}": both["best"], f"held_out_first {name}": both["first"]}
    return rows


def completed(folder: Path) -> list[QueryRow]:
    """Read the completed queries of a run's search, in order."""
    with closing(Ledger(folder / LEDGER, read_only=True)) as ledger:
        return [row for row in ledger.queries("search") if row.completed]


def table_of(rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
    """Return the rows as a table with its columns in order."""
    import pandas as pd

    frame = pd.DataFrame(with_common_offsets(rows))
    if frame.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    others = [name for name in frame.columns if name not in COLUMNS]
    frame = frame.reindex(columns=[*COLUMNS, *sorted(others)]).astype(dict.fromkeys(_MAY_LACK, float))
    return frame.sort_values(["reward", "prompt", "entry", "seed", "budget"], kind="stable").reset_index(drop=True)


def check_alike(folders: Sequence[Path]) -> None:
    """Refuse runs that must not be compared.

    Raises:
        InputError: The runs differ in the model, in the meaning of a reward's name, or in what they search for it.
    """
    searched: dict[str, tuple[str, Path]] = {}
    models: dict[str, Path] = {}
    rewards: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        check_is_run(folder)
        with closing(Ledger(folder / LEDGER, read_only=True)) as ledger:
            config, identity = ledger.get("config") or {}, ledger.get("reward") or {}
        model = {name: config.get(name) for name in _MODEL if config.get(name) is not None}
        models.setdefault(json.dumps(model, sort_keys=True, default=str), folder)
        name, text = str(identity.get("name", "")), json.dumps(identity, sort_keys=True, default=str)
        known, where = rewards.setdefault(name, (text, folder))
        if known != text:
            raise InputError(
                f"runs must mean the same by {name!r}; {where} and {folder} do not: {_difference(known, text)}. "
                "Compare them apart."
            )
        text = json.dumps({one: config.get(one) for one in _SEARCHED if config.get(one)}, sort_keys=True, default=str)
        known, where = searched.setdefault(name, (text, folder))
        if known != text:
            raise InputError(
                f"runs must search the same for {name!r}; {where} and {folder} do not: {_difference(known, text)}. "
                "Compare them apart."
            )
    if len(models) > 1:
        (one, first), (other, second) = list(models.items())[:2]
        raise InputError(
            f"runs must be of one model; {first} and {second} differ: {_difference(one, other)}. Compare them apart."
        )


_MODEL = (
    *("model", "steps", "guidance", "size", "search", "negative_prompt", "dtype", "generator_options", "frames"),
    *SourceOptions.model_fields,
)
_SEARCHED = ("diverse", "apart", "min_distance", "measures")


def _difference(one: str, other: str) -> str:
    first, second = json.loads(one), json.loads(other)
    names = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    return ", ".join(f"{name} is {first.get(name)!r} and {second.get(name)!r}" for name in names)


def _best(rows: Sequence[QueryRow], *, constrained: bool) -> QueryRow | None:
    able = [row for row in rows if row.is_feasible(constrained=constrained)]
    return max(able, key=lambda row: row.value or 0.0, default=None)
