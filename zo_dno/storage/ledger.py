"""The durable table of every query of a run."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from zo_dno.storage import choices
from zo_dno.storage.ledger_file import LedgerFile
from zo_dno.storage.plain_json import parse_json
from zo_dno.types import Choice

if TYPE_CHECKING:
    import numpy as np

WARM_UP, REPEAT, BASELINE, HELD_OUT = "warm_up", "repeat", "baseline", "held_out"  # stages beside the search
_ASIDE = "unscored."  # beginning of the stages of what a run began anew without
TERM = ".part"  # end of the stage of rows about one term of a combination
COLUMNS = {
    "plausible": "feasible",
    "noise_violation": "violation",
    "reward_violation": "shortfall",
    "components": "parts",
}
"""Fields of a `QueryRow` -> the earlier names that their columns keep, in the file and in exports."""


_LARGEST = 1_000_000  # candidates of a population; an edited one would take the machine's time and memory


@dataclass(frozen=True, slots=True)
class QueryRow:
    """One query: a reward for one image.

    Attributes:
        stage: "search", "warm_up" for the scales of a combination, "repeat" for re-evaluations of the best, "baseline"
            for best-of-N, or "held_out"; with ".part" at its end for one term of a combination, whose calls and costs
            are counted there alone.
        id: Number of the candidate.
        population: Number of the `ask` that proposed the candidate.
        image: sha256 of the image's size and pixels.
        oracle: Name of the reward, or of the term.
        version: Version of the reward.
        repeat: Number of earlier queries for the same image.
        rater: Name of the rater, where there are several.
        status: "asked" while there is no response, "scored", "missing", or "screened": not sent, since the strategy is
            told a prediction instead (zo_dno.search.preselection).
        value: Score in the reward's unit; None is missing.
        told: Score that the strategy was told; None is missing, or not told yet.
        told_seq: Place among all scores that the strategy was told; None is not told yet.
        log_prob: log P(z).
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the whiteness test.
        noise_violation: Distance to the thresholds of the plausibility tests, in nats.
        plausible: Whether every plausibility test is passed.
        cached: Whether the score is from the cache, and no query was sent.
        attempts: Number of calls.
        failures: Kinds of the calls that failed, in order, joined by "; ".
        kind: Kind of the failure, if the score is missing.
        error: Reason why the score is missing.
        seconds: Time that the reward took.
        tokens: Tokens that a language model used.
        cost: Upper bound of the money spent.
        raw: Response of a judge, word for word.
        spread: Standard deviation among the raters, judges or samples behind the value.
        reward_violation: Violation of what the reward requires of a winner, in standard deviations; 0 meets it.
        components: Numbers that the value was made of.
        perturbed: Whether noise was added to the image, which can therefore not be rendered from its noise alone.
        of_term: Whether the row is about one term of a combination.
    """

    stage: str
    id: int
    population: int
    image: str
    prompt: str
    oracle: str
    version: str
    repeat: int
    rater: str
    status: Literal["asked", "scored", "missing", "screened"]
    value: float | None
    told: float | None
    told_seq: int | None
    log_prob: float
    norm_ratio: float
    whiteness: float
    noise_violation: float
    plausible: bool
    cached: bool
    attempts: int
    failures: str
    kind: str | None
    error: str | None
    seconds: float
    tokens: int
    cost: float
    raw: str | None
    spread: float | None = None
    reward_violation: float = 0.0
    components: Mapping[str, float] | None = None
    perturbed: bool = False
    of_term: bool = False

    @property
    def completed(self) -> bool:
        """Whether there is a score, or will be none."""
        return self.status in ("scored", "missing")

    @property
    def settled(self) -> bool:
        """Whether there is a response, or no query will be sent."""
        return self.status != "asked"

    @property
    def scored_later(self) -> bool:
        """Whether the strategy was told that the score is missing, and the query was sent again."""
        return self.value is not None and self.told is None and self.told_seq is not None

    def is_feasible(self, *, constrained: bool) -> bool:
        """Whether the row has a score, meets what the reward requires and, where `constrained`, is plausible."""
        plausible = self.plausible or not (constrained or self.perturbed)
        return self.value is not None and self.reward_violation == 0 and plausible


@dataclass(frozen=True, slots=True)
class PopulationRow:
    """One `ask` of a strategy.

    Attributes:
        noise: sha256 of z, (size, d) float32, which proves that a replay proposes the same.
        seconds: Time from the start of the search to the end of the `tell`; its shares by phase follow.
    """

    stage: str
    number: int
    first_id: int
    size: int
    noise: str
    seconds: float = 0.0
    generate_seconds: float = 0.0
    score_seconds: float = 0.0
    strategy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the run folder: the image of a candidate, or its noise."""

    path: str
    kind: Literal["image", "noise"]
    sha256: str
    stage: str
    id: int


class Ledger:
    """The queries of a run and their responses, in an SQLite file, or in memory for a run without a folder.

    Args:
        path: Path of the file, which is made if it does not exist; None keeps the ledger in memory.
        durable: Whether a commit is on the disk when it returns, so that not even a power cut loses it.
        read_only: Whether the file stays as it is, since the run may be in progress.
    Raises:
        InputError: The file is no ledger, is damaged, or was written by a later version.
        StorageError: The file cannot be written.
    """

    def __init__(self, path: Path | None = None, *, durable: bool = False, read_only: bool = False) -> None:
        self._file = LedgerFile(path, durable=durable, read_only=read_only)

    def put(
        self,
        queries: Iterable[QueryRow] = (),
        populations: Iterable[PopulationRow] = (),
        artifacts: Iterable[Artifact] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Write rows and facts in one transaction, all or none; a row with the key of an older one replaces it."""
        with self._file.writing() as tables:
            _put_facts(tables, facts or {})
            for table, rows in (("artefact", artifacts), ("population", populations), ("query", queries)):
                columns, values = _COLUMNS[table]
                marks = ", ".join("?" * len(columns))
                stored = map(values, rows) if table != "query" else (_with_text(values(row)) for row in rows)
                tables.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", stored)

    def queries(self, stage: str = "search") -> list[QueryRow]:
        """Read the queries of a stage, in id order."""
        return list(self._queries("WHERE stage = ?", stage))

    def all_queries(self) -> list[QueryRow]:
        """Read every query, by stage and id."""
        return list(self._queries(""))

    def populations(self, stage: str = "search") -> list[PopulationRow]:
        """Read the populations of a stage, in order."""
        rows = self._file.read("SELECT * FROM population WHERE stage = ? ORDER BY number", stage)
        found = [PopulationRow(*row) for row in rows]
        for row in found:
            if not (_is_within(row.size, 1, _LARGEST) and _is_within(row.first_id, 0, _LARGEST**2)):
                raise self._file.damaged(f"population {row.number} has {row.size} candidates from {row.first_id} on")
        return found

    def put_features(self, stage: str, features: "Mapping[int, np.ndarray]") -> None:
        """Write features of candidates' images, id -> (m,) float32."""
        with self._file.writing() as tables:
            rows = [(stage, id_, vector.astype("<f4").tobytes()) for id_, vector in features.items()]
            tables.executemany("INSERT OR REPLACE INTO feature VALUES (?, ?, ?)", rows)

    def features(self, stage: str = "search") -> "dict[int, np.ndarray]":
        """Read the features of candidates' images, id -> (m,) float32."""
        import numpy as np

        rows = self._file.read("SELECT id, vector FROM feature WHERE stage = ? ORDER BY id", stage)
        return {id_: np.frombuffer(vector, "<f4") for id_, vector in rows}

    def put_choices(self, stage: str, population: int, chosen: Sequence[Choice]) -> None:
        """Write the choices by which a population was scored."""
        self.set({_choices_of(stage, population): choices.written(chosen)})

    def choices(self, stage: str, population: int) -> list[Choice] | None:
        """Read the choices by which a population was scored; None where none were written."""
        found = self.get(_choices_of(stage, population))
        if found is None:
            return None
        known = {id_ for (id_,) in self._file.read("SELECT DISTINCT id FROM query WHERE stage = ?", stage)}
        try:
            return choices.read(found, known)
        except ValueError as error:
            raise self._file.damaged(str(error)) from error

    def artifacts(self) -> list[Artifact]:
        """Read the names of the run's files."""
        return [Artifact(*row) for row in self._file.read("SELECT * FROM artefact ORDER BY stage, id, path")]

    def set_aside(self, facts: Mapping[str, Any]) -> None:
        """Let the run begin again, and write facts: its populations are forgotten, its queries get stages of their own.

        What the queries cost still counts.
        """
        with self._file.writing() as tables:
            stages = {stage for (stage,) in tables.execute("SELECT DISTINCT stage FROM query")}
            earlier = {stage.split(".")[1] for stage in stages if stage.startswith(_ASIDE)}
            for stage in stages:
                if not stage.startswith(_ASIDE):
                    aside = f"{_ASIDE}{len(earlier) + 1}.{stage}"
                    tables.execute("UPDATE query SET stage = ? WHERE stage = ?", (aside, stage))
            for table in ("population", "feature", "artefact"):
                tables.execute(f"DELETE FROM {table}")
            tables.execute("DELETE FROM run WHERE key LIKE '% of population %'")
            _put_facts(tables, facts)

    def set(self, facts: Mapping[str, Any]) -> None:
        """Write facts of the run, anything that JSON can hold, in one transaction."""
        with self._file.writing() as tables:
            _put_facts(tables, facts)

    def get(self, key: str) -> Any:
        """Read a fact of the run; None if there is none."""
        rows = self._file.read("SELECT value FROM run WHERE key = ?", key)
        try:
            return parse_json(rows[0][0]) if rows else None
        except (TypeError, ValueError) as error:
            raise self._file.damaged(f"fact {key}: {error}") from error

    def close(self) -> None:
        """Close the file; everything is written already."""
        self._file.close()

    def _queries(self, where: str, *parameters: Any) -> Iterator[QueryRow]:
        for row in self._file.read(
            f"SELECT * FROM query {where} ORDER BY stage, id, oracle, repeat, rater", *parameters
        ):
            values = list(row)
            for place, kinds in enumerate(_KINDS):  # SQLite keeps any type in any column
                if not isinstance(values[place], kinds):
                    raise self._file.damaged(
                        f"column {place + 1} of query {values[1]} holds {type(values[place]).__name__}"
                    )
            for place in _BOOLEANS:
                values[place] = bool(values[place])
            if (text := values[_COMPONENTS]) is not None:
                values[_COMPONENTS] = self._components(text)
            row = QueryRow(*values)
            if row.status == "scored" and row.value is None:
                raise self._file.damaged(f"query {row.id} is scored and has no value")
            yield row

    def _components(self, text: str) -> dict[str, float]:
        try:
            found = parse_json(text)
        except ValueError as error:
            raise self._file.damaged(str(error)) from error
        if not isinstance(found, dict) or not all(isinstance(one, int | float) for one in found.values()):
            raise self._file.damaged("the components of a query are no numbers by name")
        return found


def _put_facts(tables: sqlite3.Connection, facts: Mapping[str, Any]) -> None:
    rows = [(key, json.dumps(fact, sort_keys=True, ensure_ascii=False, default=str)) for key, fact in facts.items()]
    tables.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", rows)


def _choices_of(stage: str, population: int) -> str:
    return f"choices of population {population} of {stage}"


def _is_within(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and low <= value <= high


def _is_whole(type_: Any) -> bool:
    return type_ in (int, bool, int | None)


def _table(row: Any) -> tuple[tuple[str, ...], "attrgetter[Any]"]:
    names = tuple(field.name for field in fields(row))
    return names, attrgetter(*names)


def _with_text(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write the components of a query as JSON."""
    components = values[_COMPONENTS]
    text = None if components is None else json.dumps(dict(components), ensure_ascii=False)
    return (*values[:_COMPONENTS], text, *values[_COMPONENTS + 1 :])


_COLUMNS = {"query": _table(QueryRow), "population": _table(PopulationRow), "artefact": _table(Artifact)}
_NONE = ("noise_violation", "components")  # which rows of older versions may lack
_KINDS = tuple(
    (
        *((float, int) if field.type in (float, float | None) else (int,) if _is_whole(field.type) else (str,)),
        *((type(None),) if type(None) in get_args(field.type) or field.name in _NONE else ()),
    )
    for field in fields(QueryRow)
)
_BOOLEANS = tuple(_COLUMNS["query"][0].index(name) for name in ("plausible", "cached", "perturbed", "of_term"))
_COMPONENTS = _COLUMNS["query"][0].index("components")
