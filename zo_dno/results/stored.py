"""The content of a run's `result.json`, whose form is checked when it is read."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr, ValidationError, model_validator

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.run_folder import RESULT

_Number = float | None


class _Part(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class _First(_Part):
    reward: _Number


class _Best(_First):
    id: StrictInt
    log_prob: float
    norm_ratio: float
    whiteness: float
    feasible: StrictBool
    image: StrictStr
    error: float | None = None
    answers: StrictInt | None = None


class _Top(_First):
    id: StrictInt


class _HeldOut(_Part):
    first: _Number
    best: _Number


class _Baseline(_First):
    queries: StrictInt
    measured: StrictBool
    draws: StrictInt | None = None


class _Adapted(_Part):
    reward: StrictStr
    judge: StrictStr
    field: StrictStr
    now: StrictStr | StrictInt | None
    reason: StrictStr


class _Raters(_Part):
    words: list[StrictStr] = []


class _FrontRow(_Part):
    id: StrictInt
    rewards: dict[StrictStr, float]
    image: StrictStr


class _Front(_Part):
    rewards: list[StrictStr]
    units: list[StrictStr]
    reference: list[float]
    source: StrictStr
    hypervolume: float
    rows: list[_FrontRow]

    @model_validator(mode="after")
    def _has_values_for_every_reward(self) -> Self:
        if not len(self.rewards) == len(self.units) == len(self.reference) >= 2:
            raise ValueError("rewards, units and reference differ in length")
        if any([*row.rewards] != self.rewards for row in self.rows):
            raise ValueError("a row lacks a reward")
        return self


class _Diverse(_Part):
    apart: StrictStr
    size: StrictInt
    least: float
    usual: float
    mean_reward: _Number
    mean_distance: _Number
    members: list[_Top]
    distances: list[list[float]]

    @model_validator(mode="after")
    def _has_distances_of_all_pairs(self) -> Self:
        if [len(row) for row in self.distances] != [len(self.members)] * len(self.members):
            raise ValueError("members and distances differ in length")
        return self


class _Elite(_Top):
    cell: list[StrictInt]


class _Elites(_Part):
    measures: list[StrictStr]
    ranges: list[tuple[float, float]]
    cells: StrictInt
    offset: float
    source: StrictStr
    coverage: float
    qd_score: float
    rows: list[_Elite]

    @model_validator(mode="after")
    def _has_a_range_for_every_measure(self) -> Self:
        if not len(self.measures) == len(self.ranges) >= 1:
            raise ValueError("measures and ranges differ in length")
        if any(len(row.cell) != len(self.measures) for row in self.rows):
            raise ValueError("a cell lacks a measure")
        return self


class _Stored(_Part):
    status: StrictStr
    prompt: StrictStr
    model: StrictStr
    reward: StrictStr
    unit: StrictStr
    strategy: StrictStr
    seed: StrictInt
    queries: StrictInt
    nfe: StrictInt
    failed_queries: StrictInt
    cached_queries: StrictInt
    stopped_by: StrictStr | None
    cost: float
    tokens: StrictInt
    drift: StrictStr | None
    first: _First
    best: _Best
    top: list[_Top]
    held_out: dict[str, _HeldOut]
    baseline: _Baseline | None
    seconds: dict[str, float]
    choices: StrictInt = 0
    evidence: float | None = None
    raters: _Raters = _Raters()
    adapted: list[_Adapted] = []
    front: _Front | None = None
    diverse: _Diverse | None = None
    elites: _Elites | None = None


def result_of(folder: Path) -> dict[str, Any]:
    """Read the content of `result.json`.

    Raises:
        InputError: The run has no result yet, or the file is damaged.
    """
    path = folder / RESULT
    try:
        content = parse_json(path.read_bytes())
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise InputError(f"run {folder} has no result yet ({reason}). Finish it: zo-dno resume {folder}") from error
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    try:
        _Stored.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise _damaged(path, f"{where}: {first['msg']}") from error
    found: dict[str, Any] = content
    return found


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is damaged ({one_line(why, 200)}). Write it again: zo-dno resume {path.parent}")
